"""Interactions."""

from __future__ import annotations

from recmesh.catalog.v1 import interaction_pb2, interaction_service_pb2
from recmesh_client.convert.basics import child_name, last_id, row_errors, time, timestamp
from recmesh_client.convert.enums import EnumTable
from recmesh_client.data.interaction import Interaction, InteractionBatch, InteractionType, Purge
from recmesh_client.data.rows import ImportReport

TYPES = EnumTable(
    InteractionType,
    interaction_pb2.Interaction.Type.items(),
    "TYPE_",
    InteractionType.UNKNOWN,
)


def from_interaction(message: interaction_pb2.Interaction) -> Interaction:
    """An interaction out of an answer."""
    return Interaction(
        item=last_id(message.item),
        type=TYPES.member(message.type),
        user=message.user,
        value=message.value if message.HasField("value") else None,
        event_time=time(message, "event_time"),
        session=message.session,
        attribution_token=message.attribution_token,
        id=last_id(message.name),
        create_time=time(message, "create_time"),
    )


def to_interaction(interaction: Interaction, catalog: str) -> interaction_pb2.Interaction:
    """An interaction of a catalog into a request."""
    own = interaction.id
    return interaction_pb2.Interaction(
        name=child_name(catalog, "interactions", own) if own else "",
        user=interaction.user,
        item=child_name(catalog, "items", interaction.item),
        type=TYPES.number(interaction.type),
        value=interaction.value,
        event_time=timestamp(interaction.event_time),
        session=interaction.session,
        attribution_token=interaction.attribution_token,
    )


def from_batch(message: interaction_service_pb2.ExportInteractionsResponse) -> InteractionBatch:
    """A part of an export."""
    return InteractionBatch(
        tuple(map(from_interaction, message.interactions)),
        message.resume_token,
        time(message, "complete_until"),
    )


def from_report(message: interaction_service_pb2.ImportInteractionsResponse) -> ImportReport:
    """What an import did."""
    return ImportReport(
        message.created_count,
        0,
        message.unchanged_count,
        message.failed_count,
        row_errors(message.errors),
    )


def from_purge(message: interaction_service_pb2.PurgeInteractionsResponse) -> Purge:
    """What a purge did, or would do."""
    return Purge(message.purge_count, tuple(map(last_id, message.purge_sample)))
