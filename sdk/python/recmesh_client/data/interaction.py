"""What people did with items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto


class InteractionType(StrEnum):
    """What a person did."""

    UNKNOWN = auto()
    VIEW = auto()
    """Watched, read or used it; `value` may hold the share that was watched, 0 to 1."""
    CLICK = auto()
    """Opened its page."""
    LIKE = auto()
    """Said that it is good."""
    DISLIKE = auto()
    """Said that it is bad."""
    RATING = auto()
    """Rated it: `value` is the rating."""
    BOOKMARK = auto()
    """Put it aside for later."""
    PURCHASE = auto()
    """Bought it; `value` may hold the price."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something that a person did with an item: written once and never changed.

    Attributes:
        item: The item's id.
        type: What the person did.
        user: Who: an opaque id. Empty: the caller.
        value: A number that goes with the type; needed for a rating.
        event_time: When it happened; None for now.
        session: The visit that it belongs to: an opaque id.
        attribution_token: The recommendation's that led to it, when one did.
        id: The caller's, or made when empty.
        create_time: When it was written.
    """

    item: str
    type: InteractionType
    user: str = ""
    value: float | None = None
    event_time: datetime | None = None
    session: str = ""
    attribution_token: str = ""
    id: str = ""
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class InteractionBatch:
    """A part of an export.

    Attributes:
        interactions: In the order in which they were written.
        resume_token: Where a later export goes on.
        complete_until: Everything written before this time has been sent.
    """

    interactions: tuple[Interaction, ...]
    resume_token: str
    complete_until: datetime | None


@dataclass(frozen=True, slots=True)
class Purge:
    """What was, or would be, deleted.

    Attributes:
        count: How many interactions.
        sample: Ids of up to 100 of them; empty when they were deleted.
    """

    count: int
    sample: tuple[str, ...]
