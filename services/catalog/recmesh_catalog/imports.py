"""What the imports of items and of interactions share."""

from __future__ import annotations

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.common.v1.error_reason_pb2 import RowError
from recmesh_kit.errors import InvalidArgument, Violation

MOST_ERRORS = 1000
"""Refused rows that are reported; the others are counted."""
_MOST_TEXT = 512
"""Characters of a caller's text that an error repeats, so that a thousand errors are no large answer."""


def parent_of(parent: str, sent: str) -> str:
    """The catalog of a whole call, which the first message names and later ones may repeat.

    Args:
        parent: What the messages before said; empty at the first.
        sent: What this one says.

    Raises:
        InvalidArgument: The first one does not name it, or a later one names another.
    """
    if parent and sent not in ("", parent):
        raise InvalidArgument([Violation("parent", f"must be empty or {parent}, as before")])
    if not parent and not sent:
        raise InvalidArgument([Violation("parent", "is required in the first message")])
    return parent or sent


def no_message() -> InvalidArgument:
    """The error for a call without a message."""
    return InvalidArgument([Violation("parent", "is required: the call had no message")])


def row_error(position: int, name: str, at: str, message: str) -> RowError:
    """Why a row is refused.

    Args:
        position: The row's in the whole call, from 0.
        name: The resource that it is about.
        at: The field at fault.
        message: What is wrong with it.
    """
    return RowError(
        row=position,
        resource=name[:_MOST_TEXT],
        reason=reasons.ERROR_REASON_INVALID_FIELD,
        message=f"{at}: {message}"[:_MOST_TEXT],
        field=at[:_MOST_TEXT],
    )
