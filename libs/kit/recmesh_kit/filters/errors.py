"""What is wrong with a filter, and where."""

from __future__ import annotations

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import InvalidArgument, Violation

_MOST_TEXT = 64
"""Characters of the filter that a message repeats."""


def quoted(text: str) -> str:
    """A piece of the filter, for a message."""
    return repr(str(text) if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…")


def invalid(message: str, column: int) -> InvalidArgument:
    """The error for a filter.

    Args:
        message: What is wrong, as a sentence.
        column: Where, in characters from 1.
    """
    return InvalidArgument(
        [Violation("filter", f"column {column}: {message}")],
        reason=reasons.ERROR_REASON_INVALID_FILTER,
        metadata={"column": str(column)},
    )
