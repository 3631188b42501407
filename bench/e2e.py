"""`make bench-e2e`: Recommend by title, with 1, 16 and 64 calls in flight, and what the SDK adds to a call.

The load generator is this process, on the same machine; its own share of the processor is part of the figures.
Promised: no call fails, and a call by the SDK takes at most 15 % longer than the same by the generated stub.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import sys
import time

import uvloop
from rich.console import Console
from rich.table import Table

from bench.overhead import MOST, Overhead, measure
from demo.data import CATALOG, films
from demo.setup import import_films, wait_searchable
from recmesh_client import AsyncClient, Password, RecmeshError, Targets

IN_FLIGHT = (1, 16, 64)
WARM_UP_CALLS = 200
INDEX_SECONDS = 300.0
Rounds = dict[int, dict[str, float]]


async def main(seconds: float) -> bool:
    """Runs all rounds; says whether what is promised holds."""
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    items = films()
    titles = [item.title for item in items]
    targets = Targets.from_environment()
    async with AsyncClient.connect(targets, credentials=admin) as client:
        await import_films(client, items)
        await wait_searchable(client, INDEX_SECONDS)
        await _round(client, titles, 16, calls=WARM_UP_CALLS)
        overheads = await measure(client, targets, [item.id for item in items], titles)
        rounds = {n: await _round(client, titles, n, seconds=seconds) for n in IN_FLIGHT}
    _print(rounds, overheads)
    failed = any(figures["errors"] for figures in rounds.values())
    return not failed and all(overhead.p50 <= MOST for overhead in overheads)


async def _round(
    client: AsyncClient,
    titles: list[str],
    in_flight: int,
    *,
    seconds: float = 1e9,
    calls: int = 10**9,
) -> dict[str, float]:
    """Keeps so many calls in flight for so long; latencies in milliseconds."""
    latencies: list[float] = []
    errors = 0
    began, used = time.perf_counter(), time.process_time()
    until = began + seconds

    async def caller(first: int) -> None:
        nonlocal errors
        turn = first
        while time.perf_counter() < until and len(latencies) + errors < calls:
            title = titles[turn % len(titles)]
            turn += in_flight
            at = time.perf_counter()
            try:
                await client.recommend(CATALOG, title=title, limit=10)
            except RecmeshError as error:
                errors += 1
                print(f"failed: {type(error).__name__} {error}", file=sys.stderr)
            else:
                latencies.append((time.perf_counter() - at) * 1000)

    await asyncio.gather(*(caller(n) for n in range(in_flight)))
    took = time.perf_counter() - began
    latencies.sort()
    return {
        "calls": len(latencies),
        "errors": errors,
        "jobs_per_s": round(len(latencies) / took, 1),
        "p50_ms": round(_quantile(latencies, 0.5), 2),
        "p99_ms": round(_quantile(latencies, 0.99), 2),
        "client_cpu": round((time.process_time() - used) / took, 2),
    }


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def _print(rounds: Rounds, overheads: list[Overhead]) -> None:
    console = Console(width=100)
    load = Table("in flight", "calls", "errors", "jobs/s", "p50 ms", "p99 ms", "client CPU")
    for in_flight, figures in rounds.items():
        load.add_row(str(in_flight), *(f"{value:g}" for value in figures.values()))
    console.print(load)
    added = Table(
        "one call", "SDK p50 ms", "stub p50 ms", "more", "SDK CPU ms", "stub CPU ms", "more"
    )
    for one in overheads:
        added.add_row(
            one.call,
            *(f"{one.sdk.ms:.2f}", f"{one.stub.ms:.2f}", f"{one.p50 - 1:+.1%}"),
            *(f"{one.sdk.cpu_ms:.3f}", f"{one.stub.cpu_ms:.3f}", f"{one.cpu - 1:+.1%}"),
        )
    console.print(added)
    summary: dict[str, object] = {
        "benchmark": "e2e",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "client_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **{f"in_flight_{n}": figures for n, figures in rounds.items()},
        **{f"sdk_{one.call}": one.figures() for one in overheads},
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Recommend by title, end to end.")
    arguments.add_argument("--seconds", type=float, default=10.0, help="length of each round")
    sys.exit(0 if uvloop.run(main(arguments.parse_args().seconds)) else 1)
