"""What people did, from the catalog's words into those of the read model."""

from __future__ import annotations

from datetime import UTC

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened
from recmesh_kit import names

LIKES = frozenset(
    {
        Interaction.TYPE_VIEW,
        Interaction.TYPE_LIKE,
        Interaction.TYPE_BOOKMARK,
        Interaction.TYPE_PURCHASE,
    }
)
"""What makes an item popular. A click says too little, a rating or a dislike may say that it is bad."""


def happened(interaction: Interaction) -> Happened:
    """An interaction, as the histories have it."""
    value = interaction.value if interaction.HasField("value") else None
    event = Event(
        names.ids(interaction.item)[-1],
        interaction.type,
        value,
        interaction.event_time.ToNanoseconds() / 1e9,
    )
    return Happened(interaction.user, event, interaction.create_time.ToDatetime(UTC))
