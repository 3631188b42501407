"""An interaction, as the service knows it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any


class Type(StrEnum):
    """What a person did, as the contract says."""

    VIEW = "VIEW"
    CLICK = "CLICK"
    LIKE = "LIKE"
    DISLIKE = "DISLIKE"
    RATING = "RATING"
    BOOKMARK = "BOOKMARK"
    PURCHASE = "PURCHASE"


@dataclass(frozen=True, slots=True)
class Draft:
    """An interaction as a caller sends it. The fields mean what the contract says of them.

    Attributes:
        id: The caller's id; empty for one to be made.
        user: The person's id; empty for the caller's.
        item: The item's id, in the same catalog.
        event_time: When it happened; None for now.
    """

    id: str
    user: str
    item: str
    type: Type
    value: float | None
    event_time: datetime | None
    session: str
    attribution_token: str


SAID = tuple(field.name for field in fields(Draft))
"""The fields of a draft."""


def said(draft: Draft) -> dict[str, Any]:
    """What a draft says, by field. (`asdict` would copy each value, which takes longer than all else of an import.)"""
    return {name: getattr(draft, name) for name in SAID}


@dataclass(frozen=True, slots=True)
class Interaction:
    """Something that a person did with an item. The fields mean what the contract says of them.

    Attributes:
        id: Unique in its catalog.
        user: The person's id.
        item: The item's id, in the same catalog.
        event_time: When it happened.
        create_time: When it was written.
    """

    id: str
    user: str
    item: str
    type: Type
    value: float | None
    event_time: datetime
    session: str
    attribution_token: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of a listing ended: the newest come first.

    Attributes:
        event_time: The last interaction's.
        id: The last interaction's.
    """

    event_time: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an export went, in the order of writing.

    Attributes:
        transaction: The number of the transaction that wrote the last interaction.
        id: The last interaction's.
    """

    transaction: int
    id: str


@dataclass(frozen=True, slots=True)
class Written:
    """Some interactions of an export.

    Attributes:
        interactions: In the order of writing.
        mark: Where to go on.
        complete_until: Everything written before has been told; None while there is more to tell.
    """

    interactions: list[Interaction]
    mark: Mark
    complete_until: datetime | None
