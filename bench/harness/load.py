"""`python -m bench.harness.load`: the load generator for gRPC, one process with one connection.

It calls `Recommend` by the generated stub, or (`--shape create-watch`) `CreateRecommendation` and then
`WatchRecommendation` to the end state. `BENCH_TOKEN`, if set, goes along as a bearer's token. What it prints is said in
`bench.harness.system`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path

import grpc
import uvloop

from bench.harness.calling import LIMIT, SHAPES, Ask, bearer
from bench.harness.statistics import quantile
from bench.harness.system import Load
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub

_SHOWN_ERRORS = 3


class Generator:
    """Asks for one id after another.

    Args:
        ask: Makes one call.
        ids: What is asked for, by turns, from somewhere on.
        in_flight: How many calls at once; with a rate, how many at most.
        rate: Calls that begin in a second; None: the next begins when one ends.
        first: Where among the ids it begins; None: anywhere.
    """

    def __init__(
        self,
        ask: Ask,
        ids: Sequence[str],
        in_flight: int,
        rate: float | None,
        first: int | None = None,
    ) -> None:
        self._ask = ask
        self._ids = ids
        self._in_flight = in_flight
        self._rate = rate
        self._turns = count(random.randrange(len(ids)) if first is None else first)  # noqa: S311

    async def run(self, seconds: float) -> Load:
        """Calls for so long, and lets the last calls end."""
        latencies: list[float] = []
        errors: list[BaseException] = []
        began, used = time.perf_counter(), time.process_time()
        first = next(self._turns)

        async def caller() -> None:
            while True:
                turn = next(self._turns)
                now = due = time.perf_counter()
                if self._rate is not None:
                    due = began + (turn - first - 1) / self._rate
                # The first call is made even when the time is over before it can be.
                if max(due, now) >= began + seconds and turn != first + 1:
                    return
                if due > now:
                    await asyncio.sleep(due - now)
                try:
                    answer = await self._ask(self._ids[turn % len(self._ids)])
                except grpc.RpcError as error:
                    errors.append(error)
                    continue
                if len(answer.results) == LIMIT:
                    latencies.append((time.perf_counter() - due) * 1000)
                else:
                    errors.append(ValueError(f"{len(answer.results)} results"))

        await asyncio.gather(*(caller() for _ in range(self._in_flight)))
        took, cpu = time.perf_counter() - began, time.process_time() - used
        for error in errors[:_SHOWN_ERRORS]:
            print(f"failed: {error!r}", file=sys.stderr)
        latencies.sort()
        calls = len(latencies)
        return Load(
            calls=calls,
            errors=len(errors),
            seconds=took,
            jobs_per_s=calls / took,
            p50_ms=quantile(latencies, 0.5),
            p99_ms=quantile(latencies, 0.99),
            cpu_ms=cpu * 1000 / max(calls, 1),
        )


async def main(arguments: argparse.Namespace) -> None:
    """Warms up, says `begin`, measures, prints."""
    metadata = bearer(os.environ.get("BENCH_TOKEN"))
    ids = json.loads(arguments.ids.read_text())
    async with grpc.aio.insecure_channel(arguments.target) as channel:
        ask = SHAPES[arguments.shape](RecommenderServiceStub(channel), metadata)
        generator = Generator(ask, ids, arguments.in_flight, arguments.rate, arguments.first)
        await generator.run(arguments.warm_up)
        print("begin", flush=True)
        print(json.dumps(asdict(await generator.run(arguments.seconds))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Calls by gRPC, so many at once.")
    parser.add_argument("--target", required=True, help="host:port")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="recommend")
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--rate", type=float, help="calls per second, evenly spaced")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds")
    parser.add_argument("--ids", type=Path, required=True, help="a JSON list of items")
    parser.add_argument("--first", type=int, help="where among the ids to begin")
    uvloop.run(main(parser.parse_args()))
