"""The pipeline: seeds -> candidates -> fuse -> diversify -> explain, for a batch over one catalog.

What may be answered, and what the filter selects, are masks: see `candidates` and `filter`.
"""

from collections.abc import Sequence

from recmesh_worker.engine.candidates import Finder, Found, Segment, kept
from recmesh_worker.engine.diversify import diversify
from recmesh_worker.engine.explain import explain
from recmesh_worker.engine.fuse import fuse
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.neighbours import REACH
from recmesh_worker.engine.query import Answer, Diversity, EngineQuery, Fallback, SeedKind
from recmesh_worker.engine.seeds import Plan, plan
from recmesh_worker.models.base import Model

_QUICK_LIMIT = 20
"""Results of a query that may be answered at a glance."""


class Ranker:
    """Answers batches with a model for neighbours and one for everything else."""

    def __init__(self, content: Model, popularity: Model, languages: Sequence[str]) -> None:
        """`languages` are the encoder's (ISO 639-1): texts in others are answered unsurely."""
        self._names = {True: popularity.name, False: content.name}
        self._finder = Finder(content, popularity, languages)

    def rank(self, batch: Sequence[EngineQuery], memory: CatalogMemory) -> list[Answer]:
        """Answer each query, in order. Pure computing; holds the memory's lock meanwhile."""
        with memory.lock:
            return self._rank([plan(query, memory) for query in batch], memory)

    def rank_at_a_glance(
        self, batch: Sequence[EngineQuery], memory: CatalogMemory
    ) -> list[Answer] | None:
        """As `rank`, where all start from one item whose neighbours are kept; else None, as when the memory is in use.
        This never waits, and takes about a tenth of a millisecond for each query.
        """
        if not all(map(_may_be_quick, batch)) or not memory.lock.acquire(blocking=False):
            return None
        try:
            if not all(q.kind is SeedKind.ITEM or memory.resolves(q.seed) for q in batch):
                return None
            plans = [plan(query, memory) for query in batch]
            return self._rank(plans, memory) if all(kept(p, memory) for p in plans) else None
        finally:
            memory.lock.release()

    def _rank(self, plans: Sequence[Plan], memory: CatalogMemory) -> list[Answer]:
        found = self._finder.find(plans, memory)
        segments = fuse(plans, found, memory)
        return [self._answer(*one, memory) for one in zip(plans, found, segments, strict=True)]

    def _answer(
        self, plan: Plan, found: Found, segments: Sequence[Segment], memory: CatalogMemory
    ) -> Answer:
        chosen = diversify(segments, plan.query.limit, plan.diversity, memory)
        return Answer(
            explain(plan, chosen, memory),
            plan.resolved,
            plan.confidence,
            plan.fallback,
            self._names[plan.fallback is Fallback.POPULAR],
            # The others are there only when all that match are answered.
            filter_relaxed=bool(found.others)
            and len(chosen) > sum(len(segment.rows) for segment in found.matching),
        )


def _may_be_quick(query: EngineQuery) -> bool:
    """Whether little has to be done beside looking at neighbours."""
    return (
        query.kind in (SeedKind.ITEM, SeedKind.TITLE)
        and query.limit <= _QUICK_LIMIT
        and query.diversity in (None, Diversity.NONE)
        and len(query.history) + len(query.exclude) <= REACH
    )
