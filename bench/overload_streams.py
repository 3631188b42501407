"""Callers who wait and do not read, and callers who go away: what a mesh holds for them, and whether it lets go of it.

The workers are halted meanwhile, so that no job ends. Twice as many callers watch as the recommender takes calls, and
none reads: one half is let in, the other is refused, and the memory stays as it is. The workers go on, answers of two
hundred results are sent to whoever does not read them, and then the watchers go away. At last callers ask and go away
before the answer: their calls end there and then, their jobs when the workers go on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import grpc

from bench.harness.calling import PARENT, TIMEOUT_SECONDS, Metadata
from bench.harness.census import look
from bench.harness.data import Data
from bench.harness.processes import BrokenSystem
from bench.harness.servers import Servers
from bench.harness.settling import members, settled, unfinished
from bench.overload_load import REFUSED, outcome
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import (
    CreateRecommendationRequest,
    RecommendRequest,
    WatchRecommendationRequest,
)
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub

if TYPE_CHECKING:
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

WATCHERS = 2_000
"""Twice as many as `RECMESH_MAX_CONCURRENT_CALLS` lets in."""
JOBS = 100
LEAVERS = 500
ROUNDS = 4
MOST_MB = 128.0
"""That waiting calls may take, a thousand of them with what they have not read, and that leaving callers leave
behind."""
_CONNECTIONS = 40
_RESULTS = 200
_PATIENCE_SECONDS = 0.3
_HOLD_SECONDS = 3.0
_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Held:
    """What was seen.

    Attributes:
        watching: Watchers that were let in.
        refused: Those that were refused as they should be.
        others: What became of the rest.
        before_mb: Memory of the recommender before.
        watched_mb: While they watched and nobody read.
        unread_mb: When answers were sent that nobody read.
        after_mb: When all was over.
        left_jobs: Jobs of callers who went away; all of them ended.
    """

    watching: int
    refused: int
    others: Mapping[str, int]
    before_mb: float
    watched_mb: float
    unread_mb: float
    after_mb: float
    left_jobs: int

    @property
    def most_mb(self) -> float:
        """The most that it took for all that."""
        return max(self.watched_mb, self.unread_mb, self.after_mb) - self.before_mb

    def figures(self) -> dict[str, Any]:
        """For a line of JSON."""
        return {
            name: round(value, 1) if isinstance(value, float) else value
            for name, value in asdict(replace(self, others=dict(self.others))).items()
        }


class Streams:
    """Opens them against a mesh.

    Args:
        servers: Of the mesh.
        target: The recommender.
        metadata: What goes along with each call.
        data: What is asked for.
    """

    def __init__(self, servers: Servers, target: str, metadata: Metadata, data: Data) -> None:
        self._root = servers.root
        self._target = target
        self._metadata = metadata
        self._data = data

    async def run(self) -> Held:
        """All of it.

        Raises:
            BrokenSystem: Calls or jobs do not end.
        """
        async with AsyncExitStack() as stack:
            stubs = []
            for _ in range(_CONNECTIONS):
                options = [("grpc.use_local_subchannel_pool", 1)]
                channel = grpc.aio.insecure_channel(self._target, options=options)
                stubs.append(RecommenderServiceStub(await stack.enter_async_context(channel)))
            before = await self._memory()
            with self._halted():
                names = await self._create(stubs)
                watches = self._watch(stubs, names)
                try:
                    await self._until(lambda jobs, calls: calls > 0)
                    await asyncio.sleep(_HOLD_SECONDS)
                    ended = await self._ended(watches)
                    watched = await self._memory()
                    with self._going_on():
                        await self._until(lambda jobs, calls: jobs == 0)
                        await asyncio.sleep(_HOLD_SECONDS)
                        unread = await self._memory()
                finally:
                    for watch in watches:
                        watch.cancel()
                await self._until(lambda jobs, calls: calls == 0)
                left = 0
                for _ in range(ROUNDS):
                    await self._ask_and_leave(stubs)
                    await self._until(lambda jobs, calls: calls == 0)
                left, _ = await unfinished(self._root)
        await settled(self._root, _WAIT_SECONDS)
        refused = ended.pop(REFUSED, 0)
        return Held(
            watching=WATCHERS - refused - ended.total(),
            refused=refused,
            others=ended,
            before_mb=before,
            watched_mb=watched,
            unread_mb=unread,
            after_mb=await self._memory(),
            left_jobs=left,
        )

    async def _create(self, stubs: Sequence[RecommenderServiceAsyncStub]) -> list[str]:
        """Jobs with long answers; their names."""
        request = CreateRecommendationRequest(parent=PARENT)
        names = []
        for number in range(JOBS):
            request.recommendation.CopyFrom(self._asked(number))
            stub = stubs[number % len(stubs)]
            created = await stub.CreateRecommendation(
                request, metadata=self._metadata, timeout=TIMEOUT_SECONDS
            )
            names.append(created.name)
        return names

    def _watch(
        self, stubs: Sequence[RecommenderServiceAsyncStub], names: Sequence[str]
    ) -> list[grpc.aio.UnaryStreamCall[Any, Recommendation]]:
        """Watchers that do not read."""
        return [
            stubs[number % len(stubs)].WatchRecommendation(
                WatchRecommendationRequest(name=names[number % len(names)]),
                metadata=self._metadata,
                timeout=_WAIT_SECONDS,
            )
            for number in range(WATCHERS)
        ]

    async def _ended(
        self, watches: Sequence[grpc.aio.UnaryStreamCall[Any, Recommendation]]
    ) -> Counter[str]:
        """How those ended that have."""
        found: Counter[str] = Counter()
        for watch in watches:
            if watch.done():
                trailing = await watch.trailing_metadata()
                found[outcome(await watch.code(), trailing)[0]] += 1
        return found

    async def _ask_and_leave(self, stubs: Sequence[RecommenderServiceAsyncStub]) -> None:
        """Callers who go away before the answer."""
        calls = [
            stubs[number % len(stubs)].Recommend(
                RecommendRequest(parent=PARENT, recommendation=self._asked(number)),
                metadata=self._metadata,
                timeout=TIMEOUT_SECONDS,
            )
            for number in range(LEAVERS)
        ]
        await asyncio.sleep(_PATIENCE_SECONDS)
        for call in calls:
            call.cancel()

    def _asked(self, number: int) -> Recommendation:
        item = self._data.ids[number % len(self._data.ids)]
        return Recommendation(query=Query(item=f"{PARENT}/items/{item}", limit=_RESULTS))

    async def _memory(self) -> float:
        """The recommender's, in MB."""
        found = await asyncio.to_thread(look, self._pids("recommender"))
        return sum(one.memory_mb for one in found.values())

    async def _until(self, condition: Any) -> None:
        """Waits until so many jobs are unfinished and so many calls are in hand."""
        until = time.monotonic() + _WAIT_SECONDS
        while not condition(*(left := await unfinished(self._root))):
            if time.monotonic() > until:
                raise BrokenSystem(f"{left[0]} jobs and {left[1]} calls stay as they are")
            await asyncio.sleep(_POLL_SECONDS)

    @contextmanager
    def _halted(self) -> Iterator[None]:
        """The workers are halted."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """For a while they are not."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids("worker").values():
            os.kill(pid, number)

    def _pids(self, name: str) -> dict[str, int]:
        running = members(self._root)
        return {one.name: one.pid for one in running if one.pid and one.name.startswith(name)}
