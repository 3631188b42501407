"""What each query of a batch starts from: an item of the catalog, a vector, or nothing known."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import EngineQuery, Fallback, SeedKind
from recmesh_worker.engine.titles import Resolution


@dataclass(slots=True)
class Plan:
    """One query on its way through the engine.

    `row` is the seed item's, `vector` what neighbours are searched for; without a vector the
    answer is popular items. `banned` rows may not be answered.
    """

    query: EngineQuery
    fallback: Fallback
    resolved: Resolution | None = None
    row: int | None = None
    vector: NDArray[np.float32] | None = None
    confidence: float = 0.0
    banned: set[int] = field(default_factory=set)

    @property
    def wanted(self) -> int:
        """How many candidates are surely enough: the banned ones may all be among them."""
        return self.query.limit + len(self.banned)


def titles_to_encode(batch: Sequence[EngineQuery], memory: CatalogMemory) -> list[int]:
    """Places in the batch of titles that do not resolve: encode these before `rank`."""
    with memory.lock:
        return [
            place
            for place, query in enumerate(batch)
            if query.kind is SeedKind.TITLE and memory.titles.resolve(query.seed) is None
        ]


def plan(query: EngineQuery, memory: CatalogMemory) -> Plan:
    """Find what a query starts from. What is unknown, or hidden, starts from nothing."""
    found = _resolve(query, memory)
    if found is not None:
        result = _from_item(query, memory, found)
    elif query.kind is not SeedKind.ITEM and query.vector is not None:
        is_text = query.kind is SeedKind.TEXT
        result = Plan(query, Fallback.NONE if is_text else Fallback.TEXT, vector=query.vector)
    else:
        result = Plan(query, Fallback.POPULAR)
    result.banned.update(memory.rows_of(query.exclude))
    return result


def _resolve(query: EngineQuery, memory: CatalogMemory) -> Resolution | None:
    if query.kind is SeedKind.TITLE:
        return memory.titles.resolve(query.seed)
    row = memory.row_of(query.seed) if query.kind is SeedKind.ITEM else None
    if row is None or not memory.visible[row]:
        return None
    return Resolution(query.seed, memory.row(row).item.title, 1.0)


def _from_item(query: EngineQuery, memory: CatalogMemory, found: Resolution) -> Plan:
    """Start from a known item; it and its namesakes of the same year are never answers."""
    (row,) = memory.rows_of([found.item])
    embedded = bool(memory.embedded[row])
    known = memory.row(row).item
    same = memory.titles.same_film(known.title, known.release_year)
    return Plan(
        query,
        Fallback.NONE if embedded else Fallback.POPULAR,
        resolved=found,
        row=row,
        vector=memory.vectors[row] if embedded else None,
        confidence=found.confidence,
        banned={row, *memory.rows_of(same)},
    )
