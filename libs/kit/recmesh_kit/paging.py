"""Keyset pages (AIP-158): a token says where the last page ended and for which arguments it was made."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import InvalidArgument

DEFAULT_SIZE = 50
MAX_SIZE = 1000

Cursor = list[str]
"""The sort key of the last row of a page, as text."""


def page_size(asked: int, *, default: int = DEFAULT_SIZE, most: int = MAX_SIZE) -> int:
    """How many rows a page has: what was asked for, within bounds."""
    return min(asked or default, most)


def encode(cursor: Sequence[str], *scope: str) -> str:
    """A token for the page after `cursor`, good for the same method and arguments only.

    Args:
        cursor: The sort key of the last row.
        scope: The method and the arguments that the pages of one listing share.
    """
    payload = json.dumps([_digest(scope), *cursor], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")


def decode(token: str, *scope: str, length: int = 1) -> Cursor | None:
    """The cursor that a token holds; None for the first page.

    Args:
        token: What the caller sent.
        scope: As in `encode`.
        length: How many parts the cursor has.

    Raises:
        InvalidArgument: The token is damaged, or was made for other arguments.
    """
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        digest, *cursor = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise invalid_token() from None
    if digest != _digest(scope) or len(cursor) != length:
        raise invalid_token()
    if not all(isinstance(part, str) and _is_storable(part) for part in cursor):
        raise invalid_token()
    return list(cursor)


def _is_storable(text: str) -> bool:
    """Whether a database takes it for text. JSON can say U+0000, and half a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _digest(scope: Sequence[str]) -> str:
    return hashlib.sha256("\x00".join(scope).encode()).hexdigest()[:16]


def invalid_token() -> InvalidArgument:
    """The error for a token that is no good."""
    return InvalidArgument(
        "The page token does not belong to this listing: start again without one.",
        reason=reasons.ERROR_REASON_INVALID_PAGE_TOKEN,
    )
