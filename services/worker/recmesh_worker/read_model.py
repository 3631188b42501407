"""The catalogs in this worker's memory: loaded when first asked for, followed by `seq`, bounded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

import structlog

from recmesh_jobs.index_repository import IndexRepository, since
from recmesh_kit.database import Database
from recmesh_kit.liveness import Pulse
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.metrics import ReadModelMetrics

log = structlog.get_logger()

PAGE = 500
"""Items that are read and taken over at once: a ranking waits for one such page at the most."""

T = TypeVar("T")


class ReadModel:
    """Catalogs by id, as one encoder sees them. Everything that touches them runs on one compute thread.

    Args:
        database: Where the read model is.
        encoder: Id of the encoder.
        dimensions: Length of its vectors.
        limit_bytes: Memory beyond which the least recently used catalog goes.
        metrics: Is told how far it is behind.
    """

    def __init__(
        self,
        database: Database,
        *,
        encoder: str,
        dimensions: int,
        limit_bytes: int,
        metrics: ReadModelMetrics | None = None,
    ) -> None:
        self._metrics = metrics or ReadModelMetrics(Instruments())
        self._database = database
        self._encoder = encoder
        self._dimensions = dimensions
        self._limit = limit_bytes
        self._catalogs: OrderedDict[str, CatalogMemory] = OrderedDict()
        self._loading: dict[str, asyncio.Task[CatalogMemory]] = {}
        self._bulk = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self.pulse = Pulse()
        """Of the compute thread."""

    async def compute(self, work: Callable[[], T], *, bulk: bool = False) -> T:
        """Runs work on the compute thread.

        Args:
            work: What is run.
            bulk: Whether it gives way: of such work no more than one piece is ever in line, so that other work waits
                for at most one. Its pieces should take a few milliseconds.
        """
        async with self._bulk if bulk else nullcontext():
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self.pulse.run, work
            )

    def loaded(self, catalog: str) -> CatalogMemory | None:
        """A catalog, if it is in memory. Whoever holds it may go on with it when it is evicted."""
        found = self._catalogs.get(catalog)
        if found is not None:
            self._catalogs.move_to_end(catalog)
        return found

    async def load(self, catalog: str) -> CatalogMemory:
        """A catalog, loaded if need be. One that is not indexed yet has no items.

        Raises:
            Unavailable: The database is away.
        """
        found = self.loaded(catalog)
        if found is not None:
            return found
        loading = self._loading.get(catalog)
        if loading is None:
            # One load for all who wait; it goes on when one of them goes away.
            loading = asyncio.create_task(self._load(catalog), name=f"load-{catalog}")
            self._loading[catalog] = loading
            loading.add_done_callback(lambda _: self._loading.pop(catalog, None))
        return await asyncio.shield(loading)

    async def preload(self, seconds: float) -> None:
        """Loads the catalogs that there are, as many as fit into the time and the memory, so that nobody waits for
        them after a start. What fails is left to the first who asks.

        Args:
            seconds: How long it may take.
        """
        try:
            async with asyncio.timeout(seconds):
                async with self._database.transaction() as session:
                    known = await IndexRepository(session, self._encoder).all_last_seqs()
                for catalog in known:
                    if self._memory_bytes() >= self._limit:
                        break
                    await self.load(catalog)
        except Exception as error:
            # Whatever it is, a missing table or a broken row included: the health checks say what is wrong.
            log.warning("not all catalogs loaded", loaded=len(self._catalogs), error=repr(error))

    async def follow(self) -> None:
        """Takes over what has changed in the catalogs at hand.

        Raises:
            Unavailable: The database is away.
        """
        if not self._catalogs:
            self._metrics.caught_up()
            return
        async with self._database.transaction() as session:
            repository = IndexRepository(session, self._encoder)
            latest = await repository.last_seqs(list(self._catalogs))
        self._metrics.behind(max(map(self._behind, latest.items()), default=0))
        for name, seq in latest.items():
            memory = self._catalogs.get(name)
            if memory is not None and seq > memory.last_seq:
                await self._catch_up(memory)
                # Numbers that no item has any more are behind us, too: all up to here was visible before we looked.
                memory.last_seq = max(memory.last_seq, seq)
        self._metrics.caught_up()
        self._evict()

    async def aclose(self) -> None:
        """Ends the loads under way and the thread."""
        loading = list(self._loading.values())
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    async def _load(self, catalog: str) -> CatalogMemory:
        memory = CatalogMemory(catalog, self._dimensions)
        await self._catch_up(memory)
        self._catalogs[catalog] = memory
        log.info("catalog loaded", catalog=catalog, items=len(memory), seq=memory.last_seq)
        self._evict()
        return memory

    async def _catch_up(self, memory: CatalogMemory) -> None:
        """Takes over all that is newer than what the memory has, a page at a time."""
        while True:
            async with self._database.driver() as connection:
                items = await since(
                    connection, self._encoder, memory.catalog, memory.last_seq, PAGE
                )
            if items:
                await self.compute(partial(memory.apply, items))
            if len(items) < PAGE:
                return

    def _behind(self, latest: tuple[str, int]) -> int:
        """How many changes of a catalog its memory does not have."""
        name, seq = latest
        memory = self._catalogs.get(name)
        return 0 if memory is None else max(0, seq - memory.last_seq)

    def _evict(self) -> None:
        while len(self._catalogs) > 1 and self._memory_bytes() > self._limit:
            name, _ = self._catalogs.popitem(last=False)
            log.info("catalog evicted", catalog=name)

    def _memory_bytes(self) -> int:
        return sum(memory.memory_bytes for memory in self._catalogs.values())
