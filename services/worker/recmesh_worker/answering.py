"""Queries to answers: texts are encoded, batches are ranked, off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from recmesh_worker.encoder import EncoderThread
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, EngineQuery, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.engine.seeds import titles_to_encode, words_at_a_glance
from recmesh_worker.metrics import JobMetrics
from recmesh_worker.precedence import Precedence
from recmesh_worker.read_model import ReadModel

log = structlog.get_logger()

T = TypeVar("T")


BULK_SLICE = 2
"""Bulk queries that are answered at once: what others wait for them."""


_AT_A_GLANCE = 64
"""Queries that may be looked at on the event loop: it takes less than a millisecond."""
_RANKED_AT_A_GLANCE = 8
"""Queries that may be ranked there, if their neighbours are known: that takes less than a millisecond, too."""


class Answering:
    """Answers batches of queries over one catalog.

    Args:
        read_model: Has the thread that it is computed on.
        encoder: Encodes texts.
        ranker: Ranks.
        precedence: Of the one over the other.
        bulk: Whether these queries give way to all others.
        metrics: Measures it.
    """

    def __init__(
        self,
        read_model: ReadModel,
        encoder: EncoderThread,
        ranker: Ranker,
        precedence: Precedence,
        *,
        bulk: bool = False,
        metrics: JobMetrics | None = None,
    ) -> None:
        self._metrics = metrics or JobMetrics.off()
        self._read_model = read_model
        self._encoder = encoder
        self._ranker = ranker
        self._precedence = precedence
        self._bulk = bulk

    def in_hand(self) -> AbstractContextManager[None]:
        """The time in which a batch is in hand, from its claim to its end."""
        return nullcontext() if self._bulk else self._precedence.urgent()

    async def to_encode(self, memory: CatalogMemory, queries: Sequence[EngineQuery]) -> set[int]:
        """Places of the queries that need the encoder: texts, and titles that the catalog does not have."""
        if not self._bulk and len(queries) <= _AT_A_GLANCE:
            seen = words_at_a_glance(queries, memory)
            if seen is not None:
                return seen
        found: set[int] = set()
        for start, some in self._slices(queries):
            await self._turn()
            found |= await self._compute(partial(_to_encode, memory, start, some))
        return found

    async def answer(
        self, memory: CatalogMemory, queries: Sequence[EngineQuery], *, encode: bool
    ) -> list[Answer | Exception]:
        """The answers, in order. A query that breaks something takes none of its neighbours along.

        Args:
            memory: The catalog.
            queries: What is asked.
            encode: Whether the words of these queries are encoded before; the encoder must be ready.
        """
        answers: list[Answer | Exception] = []
        for _, some in self._slices(queries):
            await self._turn()
            answers += await self._answer(memory, some, encode=encode)
        return answers

    async def _answer(
        self, memory: CatalogMemory, queries: Sequence[EngineQuery], *, encode: bool
    ) -> list[Answer | Exception]:
        try:
            seeded = await self._encoded(queries) if encode else queries
            with self._metrics.stage("rank"):
                if not self._bulk and len(seeded) <= _RANKED_AT_A_GLANCE:
                    found = self._ranker.rank_at_a_glance(seeded, memory)
                    if found is not None:
                        return list(found)
                return list(await self._compute(partial(self._ranker.rank, seeded, memory)))
        except Exception as error:
            if len(queries) == 1:
                return [error]
            log.warning("tried one by one", catalog=memory.catalog, error=repr(error))
        return [
            answer
            for query in queries
            for answer in await self._answer(memory, [query], encode=encode)
        ]

    async def _encoded(self, queries: Sequence[EngineQuery]) -> list[EngineQuery]:
        words = [query.seed for query in queries]
        with self._metrics.stage("encode"):
            vectors = await self._encoder.encode(words, bulk=self._bulk)
        return [replace(query, vector=v) for query, v in zip(queries, vectors, strict=True)]

    async def _compute(self, work: Callable[[], T]) -> T:
        return await self._read_model.compute(work, bulk=self._bulk)

    async def _turn(self) -> None:
        """Returns when the next slice may begin."""
        if self._bulk:
            await self._precedence.give_way()

    def _slices(
        self, queries: Sequence[EngineQuery]
    ) -> Iterator[tuple[int, Sequence[EngineQuery]]]:
        """What is computed at once, with the place of the first query of each."""
        size = BULK_SLICE if self._bulk else max(len(queries), 1)
        for start in range(0, len(queries), size):
            yield start, queries[start : start + size]


def _to_encode(memory: CatalogMemory, start: int, queries: Sequence[EngineQuery]) -> set[int]:
    return {place for place, query in enumerate(queries, start) if _needs_vector(query, memory)}


def _needs_vector(query: EngineQuery, memory: CatalogMemory) -> bool:
    if query.kind is SeedKind.TEXT:
        return True
    try:
        return bool(titles_to_encode([query], memory))
    except Exception:
        # The ranking breaks on it as well, and says whose fault it is.
        log.exception("title not resolved", catalog=memory.catalog)
        return False
