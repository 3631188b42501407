"""The load generator over HTTP: keeps calls in flight and says how they fared. Runs in the peers' environment.

`python -m bench.peers.load --url URL --in-flight N --seconds S --warm-up S --ids FILE`: keeps N calls in flight for the
warm-up, lets them end, prints `begin`, keeps N in flight for S seconds, lets them end, and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import uvloop

_LIMIT = 10
_TIMEOUT = aiohttp.ClientTimeout(total=30.0)


class Caller:
    """Asks for one item after another."""

    def __init__(self, session: aiohttp.ClientSession, url: str, ids: list[str]) -> None:
        self._session = session
        self._url = url
        self._ids: Iterator[str] = itertools.cycle(ids)
        self.latencies: list[float] = []
        """In seconds, of those that succeeded."""
        self.errors = 0

    async def call(self) -> None:
        """One call; never raises for what the server does."""
        body = orjson.dumps({"item": next(self._ids), "limit": _LIMIT})
        headers = {"content-type": "application/json"}
        began = time.perf_counter()
        try:
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                content = await answer.read()
                good = answer.status == 200 and len(orjson.loads(content)["results"]) == _LIMIT
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            good = False
        if good:
            self.latencies.append(time.perf_counter() - began)
        else:
            self.errors += 1

    async def keep(self, in_flight: int, seconds: float) -> None:
        """Keeps so many calls in flight for so long, then lets them end."""
        until = time.perf_counter() + seconds

        async def turns() -> None:
            while time.perf_counter() < until:
                await self.call()

        await asyncio.gather(*(turns() for _ in range(in_flight)))


async def run(url: str, in_flight: int, seconds: float, warm_up: float, ids: list[str]) -> None:
    """Warms up, measures, prints."""
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        caller = Caller(session, url, ids)
        await caller.keep(in_flight, warm_up)
        caller.latencies.clear()
        caller.errors = 0
        print("begin", flush=True)
        began, used = time.perf_counter(), time.process_time()
        await caller.keep(in_flight, seconds)
        took, used = time.perf_counter() - began, time.process_time() - used
    ordered = sorted(caller.latencies)
    calls = len(ordered)
    figures = {
        "calls": calls,
        "errors": caller.errors,
        "seconds": round(took, 3),
        "jobs_per_s": round(calls / took, 1),
        "p50_ms": round(_quantile(ordered, 0.5) * 1000, 2),
        "p99_ms": round(_quantile(ordered, 0.99) * 1000, 2),
        "cpu_ms": round(used * 1000 / max(calls + caller.errors, 1), 3),
    }
    print(json.dumps(figures), flush=True)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Calls over HTTP.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--ids", type=Path, required=True)
    given = parser.parse_args()
    asked = json.loads(given.ids.read_text())
    uvloop.run(run(given.url, given.in_flight, given.seconds, given.warm_up, asked))
