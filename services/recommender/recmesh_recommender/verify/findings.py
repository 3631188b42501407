"""What is compared, and what is found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum

from recmesh_jobs.history_repository import Happened

SAMPLES = 10
"""Ids that are kept of what differs."""


class Difference(Enum):
    """How the read model differs from the catalog in one thing. Those further up count when encoders disagree."""

    MISSING = "missing"
    STALE = "stale"
    SURPLUS = "surplus"


@dataclass(frozen=True, slots=True)
class CatalogItem:
    """An item as it is in the catalog.

    Attributes:
        id: Its id.
        revision: The catalog's revision at which it changed last.
        update_time: When that was, in Unix seconds by the catalog's clock.
    """

    id: str
    revision: int
    update_time: float


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items of a catalog.

    Attributes:
        items: The items.
        revision: Everything up to this revision of the catalog has been told by now.
    """

    items: Sequence[CatalogItem]
    revision: int


@dataclass(frozen=True, slots=True)
class Deed:
    """An interaction as it is in the catalog.

    Attributes:
        id: Its id.
        happened: What the read model makes of it.
        body: The catalog's own words, a `recmesh.catalog.v1.Interaction`.
    """

    id: str
    happened: Happened
    body: bytes


@dataclass(frozen=True, slots=True)
class ItemChange:
    """A change of an item that is told once more.

    Attributes:
        item: Its id.
        revision: The catalog's revision that it is told at.
        deleted: Whether the catalog does not have it.
    """

    item: str
    revision: int
    deleted: bool


@dataclass(slots=True)
class Finding:
    """Differences of one kind of thing, until now.

    Attributes:
        checked: How many were compared.
        missing: In the catalog, and not in the read model.
        stale: In the read model in another state.
        surplus: In the read model, and not in the catalog.
        repaired: How many of them were told once more.
        samples: Ids of some of them.
    """

    checked: int = 0
    missing: int = 0
    stale: int = 0
    surplus: int = 0
    repaired: int = 0
    samples: list[str] = field(default_factory=list)

    def count(self, difference: Difference, ids: Collection[str]) -> None:
        """Takes note of things that differ."""
        match difference:
            case Difference.MISSING:
                self.missing += len(ids)
            case Difference.STALE:
                self.stale += len(ids)
            case Difference.SURPLUS:
                self.surplus += len(ids)
        self.samples += list(ids)[: SAMPLES - len(self.samples)]


@dataclass(slots=True)
class Progress:
    """How far a comparison is.

    Attributes:
        items: What was found in items.
        interactions: What was found in interactions.
        done: Whether everything was compared.
    """

    items: Finding = field(default_factory=Finding)
    interactions: Finding = field(default_factory=Finding)
    done: bool = False
