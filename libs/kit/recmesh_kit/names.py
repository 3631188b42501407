"""Resource names (AIP-122): `catalogs/films/items/alien-1979`.

Names in requests have been held against their patterns before a service sees them, so that these two need no checks.
"""

from __future__ import annotations

import re

SEGMENT = r"[^/\x00-\x1f\x7f]{1,128}"
"""What one id may be: the caller's own, so anything but a slash and control characters."""


def pattern(template: str) -> re.Pattern[str]:
    """The expression for a `google.api.resource` pattern such as `catalogs/{catalog}/items/{item}`."""
    parts = (SEGMENT if part.startswith("{") else re.escape(part) for part in template.split("/"))
    return re.compile("/".join(parts))


def ids(name: str) -> tuple[str, ...]:
    """The ids within a name, the outermost first: `("films", "alien-1979")`."""
    return tuple(name.split("/")[1::2])


def join(*parts: str) -> str:
    """A name from collections and ids: `join("catalogs", "films", "items", "alien-1979")`."""
    return "/".join(parts)


def catalog_of(name: str) -> str | None:
    """The catalog that a resource belongs to; None when the name is not within a catalog."""
    parts = name.split("/", 2)
    return parts[1] if len(parts) > 1 and parts[0] == "catalogs" and parts[1] else None
