"""One item of a catalog in memory, without its vector."""

from __future__ import annotations

from dataclasses import dataclass

from recmesh_jobs.items import IndexedItem


@dataclass(frozen=True, slots=True)
class Row:
    """An item without its vector, and what is compared of it; `people` are directors and cast."""

    item: IndexedItem
    genres: frozenset[str]
    people: frozenset[str]
    year: int | None
