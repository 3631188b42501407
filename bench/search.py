"""`make bench-search`: SearchItems over tens of thousands of films, one call at a time.

Promised: half of all calls answer within 15 ms, and of 300 misspelt titles (one edit; from nine letters on, one or two)
95 % find their film, or one of the same title, first. Asked beside those: whole titles, and beginnings of titles.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.catalogues import items
from bench.misspelling import SHORTEST, misspell
from demo.mesh import TIMEOUT_SECONDS, Mesh, Targets, signed_in
from recmesh.catalog.v1.catalog_service_pb2 import SearchItemsRequest
from recmesh_kit.text import normalise

CATALOG = "bench-search"
QUERIES = 300
P50_MS = 15.0
FOUND = 0.95


async def main(data: Path | None) -> bool:
    """Imports, asks, prints; says whether what is promised holds."""
    admin = (os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    films = await asyncio.to_thread(items, CATALOG, data)
    async with signed_in(Targets.from_environment(), *admin) as mesh:
        await mesh.ensure_catalog(CATALOG, "Films to search")
        began = time.perf_counter()
        done = await mesh.import_items(CATALOG, films)
        rate = len(films) / (time.perf_counter() - began)
        imported = done.created_count > 0
        chance = random.Random(1)  # noqa: S311 - the same questions each time
        titles = [film.title for film in films if len(normalise(film.title)) >= SHORTEST]
        asked = chance.sample(titles, QUERIES)
        for title in asked:
            await _search(mesh, title)
        questions = {
            "whole": asked,
            "misspelt": [misspell(title, chance) for title in asked],
            "beginning": [title[: max(3, len(title) * 2 // 3)] for title in asked],
        }
        latencies: list[float] = []
        rounds = {}
        for name, queries in questions.items():
            rounds[name], taken = await _round(mesh, asked, queries)
            latencies += taken
    figures: dict[str, object] = {
        "benchmark": "search",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "items": len(films),
        "real": data is not None,
        "import_rows_per_s": round(rate) if imported else None,
        **rounds,
    }
    p50 = statistics.median(latencies)
    figures["p50_ms"] = round(p50, 2)
    holds = rounds["misspelt"]["found_first"] >= FOUND and p50 < P50_MS
    figures["holds"] = holds
    _print(rounds)
    print(json.dumps(figures))
    return holds


async def _round(
    mesh: Mesh, wanted: Sequence[str], asked: Sequence[str]
) -> tuple[dict[str, float], list[float]]:
    """Asks one question after another; latencies in milliseconds, and the share that finds its film first,
    in figures and one by one."""
    latencies: list[float] = []
    found = 0
    for title, query in zip(wanted, asked, strict=True):
        began = time.perf_counter()
        titles = await _search(mesh, query)
        latencies.append((time.perf_counter() - began) * 1000)
        found += bool(titles) and normalise(titles[0]) == normalise(title)
    latencies.sort()
    figures = {
        "p50_ms": round(latencies[len(latencies) // 2], 2),
        "p95_ms": round(latencies[len(latencies) * 95 // 100], 2),
        "found_first": round(found / len(wanted), 3),
    }
    return figures, latencies


async def _search(mesh: Mesh, query: str) -> list[str]:
    """The titles of the first page."""
    request = SearchItemsRequest(parent=f"catalogs/{CATALOG}", query=query)
    answer = await mesh.catalog.SearchItems(
        request, metadata=mesh.metadata, timeout=TIMEOUT_SECONDS
    )
    return [result.item.title for result in answer.results]


def _print(rounds: dict[str, dict[str, float]]) -> None:
    table = Table("query", "p50 ms", "p95 ms", "found first")
    for name, figures in rounds.items():
        table.add_row(name, *(f"{value:g}" for value in figures.values()))
    Console(width=100).print(table)


def _folder(given: Path | None) -> Path | None:
    """The folder with the films, if it is there."""
    named = given or Path(os.environ.get("RECMESH_BENCH_DATA", ""))
    films = any(named.glob("movies-*.json")) if str(named) != "." else False
    if given and not films:
        sys.exit(f"no movies-*.json in {given}")
    return named if films else None


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Search by title, through gRPC.")
    arguments.add_argument("--data", type=Path, help="folder with movies-*.json")
    sys.exit(0 if asyncio.run(main(_folder(arguments.parse_args().data))) else 1)
