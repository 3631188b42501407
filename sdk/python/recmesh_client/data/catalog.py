"""Catalogs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto


class Visibility(StrEnum):
    """Who may read a catalog."""

    UNKNOWN = auto()
    PRIVATE = auto()
    """Those with a role for it."""
    PUBLIC = auto()
    """Everybody who is signed in."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """A set of items, the people who use them and what they did: the wall between tenants.

    Attributes:
        id: The caller's: lower-case letters, digits and hyphens, a letter first, at most 63 characters.
        display_name: What people call it.
        description: What is in it.
        visibility: Who may read it.
        revision: Rises with each change of an item.
        item_count: How many items it has. Set by `get_catalog` only.
        searchable_item_count: How many of them can be recommended by now. Set by `get_catalog` only.
        create_time: When it was made.
        update_time: When it was last changed.
    """

    id: str
    display_name: str = ""
    description: str = ""
    visibility: Visibility = Visibility.PRIVATE
    revision: int = 0
    item_count: int = 0
    searchable_item_count: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
