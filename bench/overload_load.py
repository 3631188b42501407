"""`python -m bench.overload_load`: one process of callers for `bench.overload`. They call `Recommend` by the generated
stub, over several connections, and tell how each call ended.

With `--in-flight N` so many callers call one after the other; with `--rate R` a new caller comes R times a second,
however many are waiting. What a caller does who is refused says `--callers`:

- `once`: goes away.
- `patient`: calls again after as long as the refusal says (and up to a quarter more), with the same request id.
- `hasty`: calls again at once.

The last two give up at their deadline. `BENCH_TOKEN` goes along as a bearer's token. When the warm-up is over it prints
a line `begin`, and at the end one line of JSON, the fields of `Ended`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import grpc
import uvloop
from google.rpc import error_details_pb2, status_pb2

from bench.harness.calling import LIMIT, PARENT, Metadata, bearer
from bench.harness.statistics import quantile
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import RecommendRequest
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub

if TYPE_CHECKING:
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

Callers = Literal["once", "patient", "hasty"]
SERVED, REFUSED = "served", "refused"
MOST_IN_HAND = 20_000
"""Callers who wait at once, at the most: more do not come."""
HASTY_SECONDS = 0.01
NICENESS = 10
TOLD = 20
"""Titles in a text."""
_DETAILS = "grpc-status-details-bin"
_CALL_AGAIN = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)


@dataclass(slots=True)
class Ended:
    """Calls that ended in the measured time; a caller who calls three times makes three.

    Attributes:
        seconds: The measured time.
        came: Callers who came.
        outcomes: How many calls ended how: `served`, `refused` (RESOURCE_EXHAUSTED with RetryInfo), or else the code
            with the reason.
        served_ms: Median and 99th percentile of the time that a served caller has waited, from when it came.
        refused_ms: The same of refusals, from the call.
        most_in_hand: Callers that waited at once.
        late: Callers that came later than they should have, or not at all: the generator was too slow.
        cpu_s: Seconds of the processor that this process took.
    """

    seconds: float
    came: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    served_ms: tuple[float, float] = (0.0, 0.0)
    refused_ms: tuple[float, float] = (0.0, 0.0)
    most_in_hand: int = 0
    late: int = 0
    cpu_s: float = 0.0


class Crowd:
    """Makes the calls.

    Args:
        stubs: Of the connections, used by turns.
        metadata: What goes along with each call.
        callers: What they do who are refused.
        kind: What is asked for: a field of `Query`.
        seeds: What to ask for, by turns: items, titles, or what texts are made of.
        timeout: A caller's patience, and the deadline of its calls. Seconds.
    """

    def __init__(
        self,
        stubs: Sequence[RecommenderServiceAsyncStub],
        metadata: Metadata,
        *,
        callers: Callers,
        kind: str,
        seeds: Sequence[str],
        timeout: float,
    ) -> None:
        self._stubs = stubs
        self._metadata = metadata
        self._callers = callers
        self._kind = kind
        self._seeds = seeds
        self._timeout = timeout
        self._turns = count(random.randrange(10**9))  # noqa: S311
        self._outcomes: Counter[str] = Counter()
        self._times: dict[str, list[float]] = {SERVED: [], REFUSED: []}
        self._in_hand = self._most_in_hand = self._came = self._late = 0

    def begin(self) -> None:
        """What ends from now on counts."""
        self._outcomes.clear()
        for times in self._times.values():
            times.clear()
        self._most_in_hand = self._came = self._late = 0

    def ended(self, seconds: float, cpu: float) -> Ended:
        """What has ended since `begin`."""
        for times in self._times.values():
            times.sort()
        served, refused = (
            (round(quantile(times, 0.5), 1), round(quantile(times, 0.99), 1)) if times else (0, 0)
            for times in self._times.values()
        )
        return Ended(
            seconds=seconds,
            came=self._came,
            outcomes=dict(self._outcomes),
            served_ms=served,
            refused_ms=refused,
            most_in_hand=self._most_in_hand,
            late=self._late,
            cpu_s=cpu,
        )

    async def keep(self, in_flight: int) -> None:
        """So many callers, one call after the other; ends by being cancelled."""

        async def caller() -> None:
            while True:
                await self._caller()

        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(caller())

    async def come(self, rate: float) -> None:
        """So many callers a second; ends by being cancelled, and they with it."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for turn in count():
                due = began + turn / rate
                now = time.perf_counter()
                if due > now:
                    await asyncio.sleep(due - now)
                elif now - due > 1:
                    self._late += 1
                if self._in_hand < MOST_IN_HAND:
                    group.create_task(self._caller())
                else:
                    self._late += 1

    async def _caller(self) -> None:
        came = time.perf_counter()
        self._came += 1
        self._in_hand += 1
        self._most_in_hand = max(self._most_in_hand, self._in_hand)
        try:
            request = self._request()
            while (left := came + self._timeout - time.perf_counter()) > 0:
                again = await self._call(request, came, left)
                if again is None or time.perf_counter() + again > came + self._timeout:
                    return
                await asyncio.sleep(again)
        finally:
            self._in_hand -= 1

    async def _call(self, request: RecommendRequest, came: float, left: float) -> float | None:
        """One call; answers after how many seconds its caller calls again, None for not at all."""
        began = time.perf_counter()
        stub = self._stubs[next(self._turns) % len(self._stubs)]
        try:
            answer = await stub.Recommend(request, metadata=self._metadata, timeout=left)
        except grpc.aio.AioRpcError as error:
            name, again = outcome(error.code(), error.trailing_metadata())
            self._outcomes[name] += 1
            if name == REFUSED:
                self._times[REFUSED].append((time.perf_counter() - began) * 1000)
            if self._callers == "once" or error.code() not in _CALL_AGAIN:
                return None
            if self._callers == "hasty":
                return HASTY_SECONDS
            return (again or 1.0) * random.uniform(1, 1.25)  # noqa: S311
        if len(answer.results) == LIMIT:
            self._outcomes[SERVED] += 1
            self._times[SERVED].append((time.perf_counter() - came) * 1000)
        else:
            self._outcomes[f"{len(answer.results)} results"] += 1
        return None

    def _request(self) -> RecommendRequest:
        turn = next(self._turns)
        seed = self._seeds[turn % len(self._seeds)]
        match self._kind:
            case "item":
                query = Query(item=f"{PARENT}/items/{seed}", limit=LIMIT)
            case "title":
                query = Query(title=seed, limit=LIMIT)
            case _:
                # As long as a review, and each another: none that was understood before helps.
                told = ", then ".join(
                    self._seeds[(turn + n) % len(self._seeds)] for n in range(TOLD)
                )
                query = Query(text=f"A tale of {told}; told {turn} times", limit=LIMIT)
        return RecommendRequest(
            parent=PARENT, recommendation=Recommendation(query=query), request_id=str(uuid.uuid4())
        )


def outcome(
    code: grpc.StatusCode, trailing: Iterable[tuple[str, str | bytes]] | None
) -> tuple[str, float | None]:
    """The name of an outcome that is none of success, and after how many seconds to come back if it says.

    Args:
        code: The call's.
        trailing: Its trailing metadata.
    """
    reason, again = "", None
    for key, value in trailing or ():
        if key == _DETAILS and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                    info = error_details_pb2.ErrorInfo()
                    detail.Unpack(info)
                    reason = info.reason
                elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                    retry = error_details_pb2.RetryInfo()
                    detail.Unpack(retry)
                    again = retry.retry_delay.ToMilliseconds() / 1000
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and again is not None:
        return REFUSED, again
    return " ".join(filter(None, (code.name, reason))), again


async def main(arguments: argparse.Namespace) -> None:
    """Warms up, says `begin`, measures, prints."""
    async with AsyncExitStack() as stack:
        stubs = []
        for _ in range(arguments.connections):
            # Channels to one address would share a connection, and that carries some hundred calls at the most.
            channel = grpc.aio.insecure_channel(
                arguments.target, options=[("grpc.use_local_subchannel_pool", 1)]
            )
            stubs.append(RecommenderServiceStub(await stack.enter_async_context(channel)))
        crowd = Crowd(
            stubs,
            bearer(os.environ.get("BENCH_TOKEN")),
            callers=arguments.callers,
            kind=arguments.kind,
            seeds=json.loads(arguments.seeds.read_text()),
            timeout=arguments.timeout,
        )
        work = crowd.come(arguments.rate) if arguments.rate else crowd.keep(arguments.in_flight)
        calling = asyncio.create_task(work, name="crowd")
        await asyncio.wait([calling], timeout=arguments.warm_up)
        crowd.begin()
        began, used = time.perf_counter(), time.process_time()
        print("begin", flush=True)
        await asyncio.wait([calling], timeout=arguments.seconds)
        ended = crowd.ended(time.perf_counter() - began, time.process_time() - used)
        print(json.dumps(asdict(ended)), flush=True)
        calling.cancel()
        await asyncio.wait([calling])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Callers who come, whatever the answer.")
    parser.add_argument("--target", required=True, help="host:port")
    parser.add_argument("--callers", choices=("once", "patient", "hasty"), default="once")
    parser.add_argument("--kind", choices=("text", "title", "item"), default="text")
    parser.add_argument("--seeds", type=Path, required=True, help="a JSON list of texts")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rate", type=float, help="callers who come in a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds")
    parser.add_argument("--connections", type=int, default=16)
    # Callers are at home on other machines: where the processor is short, they give way to the mesh.
    os.nice(NICENESS)
    uvloop.run(main(parser.parse_args()))
