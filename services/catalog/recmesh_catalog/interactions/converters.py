"""Interactions as messages, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from recmesh.catalog.v1.interaction_pb2 import Interaction as InteractionMessage
from recmesh.catalog.v1.interaction_service_pb2 import WriteInteractionRequest
from recmesh_catalog.interactions.interaction import Draft, Interaction, Position, Type
from recmesh_catalog.names import interaction_name, item_name
from recmesh_catalog.times import to_timestamp
from recmesh_kit.errors import InvalidArgument, Violation
from recmesh_kit.names import ids
from recmesh_kit.paging import invalid_token

_PREFIX = "TYPE_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_draft(catalog: str, request: WriteInteractionRequest) -> Draft:
    """What a caller says of an interaction.

    Raises:
        InvalidArgument: Its item is of another catalog.
    """
    if ids(request.interaction.item)[0] != catalog:
        raise InvalidArgument([Violation("interaction.item", f"must be in {request.parent}")])
    return draft_of(request.interaction_id, request.interaction)


def draft_of(interaction: str, message: InteractionMessage) -> Draft:
    """What a message says of the interaction with this id (empty: none yet)."""
    return Draft(
        id=interaction,
        user=message.user,
        item=ids(message.item)[1],
        type=Type(InteractionMessage.Type.Name(message.type).removeprefix(_PREFIX)),
        value=message.value if message.HasField("value") else None,
        event_time=(message.event_time.ToDatetime(UTC) if message.HasField("event_time") else None),
        session=message.session,
        attribution_token=message.attribution_token,
    )


def to_message(catalog: str, interaction: Interaction) -> InteractionMessage:
    """An interaction as callers see it."""
    return InteractionMessage(
        name=interaction_name(catalog, interaction.id),
        user=interaction.user,
        item=item_name(catalog, interaction.item),
        type=InteractionMessage.Type.Value(f"{_PREFIX}{interaction.type}"),
        value=interaction.value,
        event_time=to_timestamp(interaction.event_time),
        session=interaction.session,
        attribution_token=interaction.attribution_token,
        create_time=to_timestamp(interaction.create_time),
    )


def to_cursor(position: Position) -> list[str]:
    """A position as a page token holds it: microseconds since 1970, and the id."""
    return [str((position.event_time - _EPOCH) // _MICROSECOND), position.id]


def to_position(cursor: list[str]) -> Position:
    """The position that a page token holds.

    Raises:
        InvalidArgument: It holds none.
    """
    microseconds, interaction = cursor
    try:
        return Position(_EPOCH + int(microseconds) * _MICROSECOND, interaction)
    except (ValueError, OverflowError):
        raise invalid_token() from None
