"""What each query of a batch starts from: items of the catalog, vectors, or nothing known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recmesh_jobs.history import SEEN_TYPES
from recmesh_worker.engine.history import known, opinions
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Diversity, EngineQuery, Fallback, SeedKind
from recmesh_worker.engine.tastes import MOST_DISLIKES, MOST_LIKES, Tastes
from recmesh_worker.engine.titles import Resolution

# How much it counts that many like an item: the less is known of a person, the more.
_POPULAR_NEW, _POPULAR_KNOWN = 0.6, 0.15


@dataclass(slots=True)
class Plan:
    """One query on its way through the engine.

    `row` is that of a seed item, `tastes` those of several. `vectors` (m, d) is what neighbours are
    searched for, `centred` whether they still have to be centred; without vectors the answer is
    popular items. `banned` rows may not be answered.
    """

    query: EngineQuery
    fallback: Fallback
    diversity: Diversity
    resolved: Resolution | None = None
    row: int | None = None
    tastes: Tastes | None = None
    vectors: NDArray[np.float32] | None = None
    centred: bool = False
    confidence: float = 0.0
    banned: list[int] = field(default_factory=list)

    @property
    def of_words(self) -> bool:
        """Whether it starts from the vector of a text."""
        return self.vectors is not None and self.row is None and self.tastes is None


def titles_to_encode(batch: Sequence[EngineQuery], memory: CatalogMemory) -> list[int]:
    """Places in the batch of titles that do not resolve: encode these before `rank`."""
    with memory.lock:
        return [
            place
            for place, query in enumerate(batch)
            if query.kind is SeedKind.TITLE and memory.resolve(query.seed) is None
        ]


def words_at_a_glance(batch: Sequence[EngineQuery], memory: CatalogMemory) -> set[int] | None:
    """Places in the batch of what is answered by its words: texts, and titles that do not resolve.

    None when a title has to be looked for, or the memory is in use: this never waits, and takes a
    hundredth of a millisecond for each title.
    """
    titles = [place for place, query in enumerate(batch) if query.kind is SeedKind.TITLE]
    places = {place for place, query in enumerate(batch) if query.kind is SeedKind.TEXT}
    if not titles:
        return places
    if not memory.lock.acquire(blocking=False):
        return None
    try:
        for place in titles:
            known = memory.resolves(batch[place].seed)
            if known is None:
                return None
            if not known:
                places.add(place)
    finally:
        memory.lock.release()
    return places


def plan(query: EngineQuery, memory: CatalogMemory) -> Plan:
    """Find what a query starts from. What is unknown, or hidden, starts from nothing."""
    made = Plan(query, Fallback.POPULAR, query.diversity or Diversity.NONE)
    match query.kind:
        case SeedKind.TITLE | SeedKind.ITEM:
            _from_item(made, memory)
        case SeedKind.TEXT:
            _from_words(made, Fallback.NONE)
        case SeedKind.ITEMS:
            _from_items(made, memory)
        case SeedKind.HISTORY:
            _from_history(made, memory)
    made.banned += memory.rows_of(query.exclude)
    if not query.include_seen:
        made.banned += memory.rows_of(e.item for e in query.history if e.type in SEEN_TYPES)
    return made


def _from_item(plan: Plan, memory: CatalogMemory) -> None:
    """Start from a known item; it and its namesakes of the same year are never answers."""
    found = _resolve(plan.query, memory)
    if found is None:
        if plan.query.kind is SeedKind.TITLE:
            _from_words(plan, Fallback.TEXT)
        return
    (row,) = memory.rows_of([found.item])
    plan.resolved, plan.row, plan.confidence = found, row, found.confidence
    plan.banned = _doubles([row], memory)
    if memory.embedded[row]:
        plan.fallback = Fallback.NONE
        plan.vectors, plan.centred = memory.vectors[row : row + 1], True


def _from_words(plan: Plan, fallback: Fallback) -> None:
    if plan.query.vector is not None:
        plan.fallback, plan.vectors = fallback, plan.query.vector[None]


def _from_items(plan: Plan, memory: CatalogMemory) -> None:
    """Start from those items that are known, all alike."""
    asked = dict.fromkeys(plan.query.items)
    rows = [row for row in memory.rows_of(asked) if memory.visible[row]]
    if not rows:
        return
    plan.confidence = len(rows) / len(asked)
    plan.banned = _doubles(rows, memory)
    liked = np.array([row for row in rows if memory.embedded[row]], np.int64)
    if len(liked):
        _start(plan, Tastes(liked, np.ones(len(liked), np.float32)), memory)


def _from_history(plan: Plan, memory: CatalogMemory) -> None:
    """Start from what the person likes. Someone new gets what is popular, varied unless asked otherwise."""
    likes: list[tuple[float, int]] = []
    dislikes: list[tuple[float, int]] = []
    strengths = 0.0
    for item, opinion in opinions(plan.query.history).items():
        row = memory.row_of(item)
        if row is None or not (memory.visible[row] and memory.embedded[row]):
            continue
        if opinion.weight > 0:
            likes.append((opinion.weight, row))
            strengths += opinion.strength
        elif opinion.weight < 0:
            dislikes.append((-opinion.weight, row))
    if not plan.query.include_seen:
        plan.banned = [row for _, row in likes]
    if not likes:
        plan.diversity = plan.query.diversity or Diversity.MEDIUM
        return
    plan.confidence = known(strengths)
    popularity = _POPULAR_NEW + plan.confidence * (_POPULAR_KNOWN - _POPULAR_NEW)
    sharing = 1 - plan.confidence
    liked, weights = _strongest(likes, MOST_LIKES)
    disliked, against = _strongest(dislikes, MOST_DISLIKES)
    _start(plan, Tastes(liked, weights, disliked, against, popularity, sharing), memory)


def _start(plan: Plan, tastes: Tastes, memory: CatalogMemory) -> None:
    plan.fallback, plan.tastes = Fallback.NONE, tastes
    plan.vectors = tastes.directions(memory)


def _strongest(
    weighted: list[tuple[float, int]], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    weighted.sort(reverse=True)
    kept = weighted[:most]
    rows = np.array([row for _, row in kept], np.int64)
    return rows, np.array([weight for weight, _ in kept], np.float32)


def _doubles(rows: Iterable[int], memory: CatalogMemory) -> list[int]:
    """These rows, and those of the same title and year."""
    found = list(rows)
    for row in list(found):
        found += memory.rows_of(memory.titles.doubles(memory.row(row).item.item))
    return found


def _resolve(query: EngineQuery, memory: CatalogMemory) -> Resolution | None:
    if query.kind is SeedKind.TITLE:
        return memory.resolve(query.seed)
    row = memory.row_of(query.seed)
    if row is None or not memory.visible[row]:
        return None
    return Resolution(query.seed, memory.row(row).item.title, 1.0)
