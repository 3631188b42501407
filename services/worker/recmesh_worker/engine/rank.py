"""The pipeline: seeds -> candidates -> fuse -> filter -> explain, for a batch over one catalog."""

from collections.abc import Sequence

from recmesh_worker.engine.candidates import find_candidates
from recmesh_worker.engine.explain import explain
from recmesh_worker.engine.filter import allowed
from recmesh_worker.engine.fuse import fuse
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, EngineQuery, Fallback
from recmesh_worker.engine.seeds import plan
from recmesh_worker.models.base import Model


class Ranker:
    """Answers batches with a model for neighbours and one for everything else."""

    def __init__(self, content: Model, popularity: Model, languages: Sequence[str]) -> None:
        """`languages` are the encoder's (ISO 639-1): texts in others are answered unsurely."""
        self._content = content
        self._popularity = popularity
        self._languages = tuple(languages)

    def rank(self, batch: Sequence[EngineQuery], memory: CatalogMemory) -> list[Answer]:
        """Answer each query, in order. Pure computing; holds the memory's lock meanwhile."""
        with memory.lock:
            plans = [plan(query, memory) for query in batch]
            found = find_candidates(plans, memory, self._content, self._popularity, self._languages)
            answers = []
            for one, candidates in zip(plans, found, strict=True):
                kept = allowed(one, fuse(one, candidates, memory))
                popular = one.fallback is Fallback.POPULAR
                answers.append(
                    Answer(
                        tuple(explain(one, candidate, memory) for candidate in kept),
                        one.resolved,
                        one.confidence,
                        one.fallback,
                        self._popularity.name if popular else self._content.name,
                    )
                )
            return answers
