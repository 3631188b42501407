"""Queries to answers: texts are encoded, batches are ranked, all off the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from recmesh_worker.encoder import EncoderThread
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, EngineQuery, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.engine.seeds import titles_to_encode
from recmesh_worker.read_model import ReadModel

log = structlog.get_logger()


class Answering:
    """Answers batches of queries over one catalog."""

    def __init__(self, read_model: ReadModel, encoder: EncoderThread, ranker: Ranker) -> None:
        self._read_model = read_model
        self._encoder = encoder
        self._ranker = ranker

    async def to_encode(self, memory: CatalogMemory, queries: Sequence[EngineQuery]) -> set[int]:
        """Places of the queries that need the encoder: texts, and titles that the catalog does not have."""
        return await self._read_model.compute(
            lambda: {place for place, query in enumerate(queries) if _needs_vector(query, memory)}
        )

    async def answer(
        self, memory: CatalogMemory, queries: Sequence[EngineQuery], *, encode: bool
    ) -> list[Answer | Exception]:
        """The answers, in order. A query that breaks something takes none of its neighbours along.

        Args:
            memory: The catalog.
            queries: What is asked.
            encode: Whether the words of these queries are encoded before; the encoder must be ready.
        """
        try:
            seeded = await self._encoded(queries) if encode else queries
            return list(await self._read_model.compute(lambda: self._ranker.rank(seeded, memory)))
        except Exception as error:
            if len(queries) == 1:
                return [error]
            log.warning("tried one by one", catalog=memory.catalog, error=repr(error))
        return [
            answer
            for query in queries
            for answer in await self.answer(memory, [query], encode=encode)
        ]

    async def _encoded(self, queries: Sequence[EngineQuery]) -> list[EngineQuery]:
        vectors = await self._encoder.encode([query.seed for query in queries])
        return [replace(query, vector=v) for query, v in zip(queries, vectors, strict=True)]


def _needs_vector(query: EngineQuery, memory: CatalogMemory) -> bool:
    if query.kind is SeedKind.TEXT:
        return True
    try:
        return bool(titles_to_encode([query], memory))
    except Exception:
        # The ranking breaks on it as well, and says whose fault it is.
        log.exception("title not resolved", catalog=memory.catalog)
        return False
