"""The pipeline: seeds -> candidates -> fuse -> diversify -> explain, for a batch over one catalog.

What may be answered, and what the filter selects, are masks: see `candidates` and `filter`.
"""

from collections.abc import Sequence

from recmesh_worker.engine.candidates import Finder, Found
from recmesh_worker.engine.diversify import diversify
from recmesh_worker.engine.explain import explain
from recmesh_worker.engine.fuse import fuse
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, EngineQuery, Fallback
from recmesh_worker.engine.seeds import Plan, plan
from recmesh_worker.models.base import Model


class Ranker:
    """Answers batches with a model for neighbours and one for everything else."""

    def __init__(self, content: Model, popularity: Model, languages: Sequence[str]) -> None:
        """`languages` are the encoder's (ISO 639-1): texts in others are answered unsurely."""
        self._names = {True: popularity.name, False: content.name}
        self._finder = Finder(content, popularity, languages)

    def rank(self, batch: Sequence[EngineQuery], memory: CatalogMemory) -> list[Answer]:
        """Answer each query, in order. Pure computing; holds the memory's lock meanwhile."""
        with memory.lock:
            plans = [plan(query, memory) for query in batch]
            found = self._finder.find(plans, memory)
            return [self._answer(*one, memory) for one in zip(plans, found, strict=True)]

    def _answer(self, plan: Plan, found: Found, memory: CatalogMemory) -> Answer:
        segments = [fuse(plan, one, memory) for one in found.matching + found.others]
        chosen = diversify(segments, plan.query.limit, plan.diversity, memory)
        return Answer(
            explain(plan, chosen, memory),
            plan.resolved,
            plan.confidence,
            plan.fallback,
            self._names[plan.fallback is Fallback.POPULAR],
            # The others are there only when all that match are answered.
            filter_relaxed=len(chosen) > sum(map(len, found.matching)) if found.others else False,
        )
