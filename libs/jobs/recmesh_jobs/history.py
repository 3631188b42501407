"""What a person did lately, as the recommender's read model hands it to a worker."""

from __future__ import annotations

from typing import NamedTuple

from recmesh.catalog.v1.interaction_pb2 import Interaction

SEEN_TYPES = frozenset(
    {
        Interaction.TYPE_VIEW,
        Interaction.TYPE_LIKE,
        Interaction.TYPE_DISLIKE,
        Interaction.TYPE_RATING,
        Interaction.TYPE_PURCHASE,
    }
)
"""What makes an item seen."""


class Event(NamedTuple):
    """What a person did with an item, the latest of its type. A tuple, as a batch of jobs has thousands of them.

    Attributes:
        item: The item's id; the item may be unknown.
        type: An `Interaction.Type` number.
        value: The rating of a RATING, the share watched of a VIEW; None when it was not told.
        time: When it happened, in Unix seconds.
    """

    item: str
    type: int
    value: float | None
    time: float
