"""A look at what recommendations are made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexFinding:
    """Differences of one kind of thing.

    Attributes:
        checked: How many were compared.
        missing: In the catalog, and not in the index.
        stale: In the index in another state.
        surplus: In the index, and not in the catalog any more.
        repaired: Those of them that were told once more, to be repaired.
        samples: Ids of some that differ, at most ten.
    """

    checked: int
    missing: int
    stale: int
    surplus: int
    repaired: int
    samples: tuple[str, ...]

    @property
    def differing(self) -> int:
        """How many differ, in whichever way."""
        return self.missing + self.stale + self.surplus


@dataclass(frozen=True, slots=True)
class IndexComparison:
    """How far a comparison of an index with its catalog is, and what it has found until now.

    Attributes:
        items: What was found in items.
        interactions: What was found in interactions.
        done: True once, at the end: everything was compared.
    """

    items: IndexFinding
    interactions: IndexFinding
    done: bool

    @property
    def differing(self) -> int:
        """How many things differ."""
        return self.items.differing + self.interactions.differing

    @property
    def repaired(self) -> int:
        """How many of them were told once more, to be repaired."""
        return self.items.repaired + self.interactions.repaired
