"""`make bench-e2e`: Recommend by title from outside, with 1, 16 and 64 calls in flight.

The load generator is this process, on the same machine; its own share of the processor is part of the figures.
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

import grpc
import uvloop
from rich.console import Console
from rich.table import Table

from demo.films import CATALOG, films
from demo.mesh import Mesh, Targets, signed_in
from recmesh.recommender.v1.query_pb2 import Query

IN_FLIGHT = (1, 16, 64)
WARM_UP_CALLS = 200
INDEX_SECONDS = 300.0


async def main(seconds: float) -> bool:
    """Runs all rounds; says whether no call failed."""
    admin = (os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    items = films()
    titles = [item.title for item in items]
    async with signed_in(Targets.from_environment(), *admin) as mesh:
        await mesh.ensure_catalog(CATALOG, "Films")
        await mesh.import_items(CATALOG, items)
        await mesh.wait_searchable(CATALOG, items, INDEX_SECONDS)
        await _round(mesh, titles, 16, calls=WARM_UP_CALLS)
        rounds = {n: await _round(mesh, titles, n, seconds=seconds) for n in IN_FLIGHT}
    _print(rounds)
    return all(figures["errors"] == 0 for figures in rounds.values())


async def _round(
    mesh: Mesh, titles: list[str], in_flight: int, *, seconds: float = 1e9, calls: int = 10**9
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
            query = Query(title=titles[turn % len(titles)], limit=10)
            turn += in_flight
            at = time.perf_counter()
            try:
                await mesh.recommend(CATALOG, query)
            except grpc.aio.AioRpcError as error:
                errors += 1
                print(f"failed: {error.code().name} {error.details()}", file=sys.stderr)
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


def _print(rounds: dict[int, dict[str, float]]) -> None:
    table = Table("in flight", "calls", "errors", "jobs/s", "p50 ms", "p99 ms", "client CPU")
    for in_flight, figures in rounds.items():
        table.add_row(str(in_flight), *(f"{value:g}" for value in figures.values()))
    Console(width=100).print(table)
    summary: dict[str, object] = {
        "benchmark": "e2e",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "client_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **{f"in_flight_{n}": figures for n, figures in rounds.items()},
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Recommend by title, end to end.")
    arguments.add_argument("--seconds", type=float, default=10.0, help="length of each round")
    sys.exit(0 if uvloop.run(main(arguments.parse_args().seconds)) else 1)
