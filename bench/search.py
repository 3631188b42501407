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
from contextlib import suppress
from pathlib import Path

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench.catalogues import DATA_HELP, folder, items
from bench.misspelling import SHORTEST, misspell
from recmesh_client import AlreadyExists, AsyncClient, Password
from recmesh_kit.text import normalise

CATALOG = "bench-search"
QUERIES = 300
P50_MS = 15.0
FOUND = 0.95
_SIZES = """
    SELECT c.relname AS name, pg_relation_size(c.oid) AS bytes
    FROM pg_class t LEFT JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid IN (t.oid, i.indexrelid)
    WHERE t.relname = 'titles' AND t.relnamespace = 'catalog'::regnamespace
    GROUP BY c.oid, c.relname ORDER BY bytes DESC
"""


async def main(data: Path | None) -> bool:
    """Imports, asks, prints; says whether what is promised holds."""
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    films = await asyncio.to_thread(items, data)
    async with AsyncClient.connect(credentials=admin) as client:
        with suppress(AlreadyExists):
            await client.create_catalog(CATALOG, display_name="Films to search")
        began = time.perf_counter()
        done = await client.import_items(CATALOG, films)
        rate = len(films) / (time.perf_counter() - began)
        imported = done.created > 0
        chance = random.Random(1)  # noqa: S311 - the same questions each time
        titles = [film.title for film in films if len(normalise(film.title)) >= SHORTEST]
        asked = chance.sample(titles, QUERIES)
        for title in asked:
            await _search(client, title)
        questions = {
            "whole": asked,
            "misspelt": [misspell(title, chance) for title in asked],
            "beginning": [title[: max(3, len(title) * 2 // 3)] for title in asked],
        }
        latencies: list[float] = []
        rounds = {}
        for name, queries in questions.items():
            rounds[name], taken = await _round(client, asked, queries)
            latencies += taken
    figures: dict[str, object] = {
        "benchmark": "search",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "items": len(films),
        "real": data is not None,
        "import_rows_per_s": round(rate) if imported else None,
        **rounds,
    }
    if url := os.environ.get("RECMESH_BENCH_DATABASE_URL"):
        figures["index_mb"] = await _index_mb(url)
    p50 = statistics.median(latencies)
    figures["p50_ms"] = round(p50, 2)
    holds = rounds["misspelt"]["found_first"] >= FOUND and p50 < P50_MS
    figures["holds"] = holds
    _print(rounds)
    print(json.dumps(figures))
    return holds


async def _round(
    client: AsyncClient, wanted: Sequence[str], asked: Sequence[str]
) -> tuple[dict[str, float], list[float]]:
    """Asks one question after another; latencies in milliseconds, and the share that finds its film first,
    in figures and one by one."""
    latencies: list[float] = []
    found = 0
    for title, query in zip(wanted, asked, strict=True):
        began = time.perf_counter()
        titles = await _search(client, query)
        latencies.append((time.perf_counter() - began) * 1000)
        found += bool(titles) and normalise(titles[0]) == normalise(title)
    latencies.sort()
    figures = {
        "p50_ms": round(latencies[len(latencies) // 2], 2),
        "p95_ms": round(latencies[len(latencies) * 95 // 100], 2),
        "found_first": round(found / len(wanted), 3),
    }
    return figures, latencies


async def _search(client: AsyncClient, query: str) -> list[str]:
    """The titles of the first page."""
    async for page in client.search_items(CATALOG, query).pages():
        return [found.item.title for found in page]
    return []


async def _index_mb(url: str) -> dict[str, float]:
    """What the titles of all catalogs take on disk, in megabytes: the table, and each of its indexes."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_SIZES)
    finally:
        await connection.close()
    return {row["name"]: round(row["bytes"] / 1e6, 2) for row in rows}


def _print(rounds: dict[str, dict[str, float]]) -> None:
    table = Table("query", "p50 ms", "p95 ms", "found first")
    for name, figures in rounds.items():
        table.add_row(name, *(f"{value:g}" for value in figures.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Search by title, through gRPC.")
    arguments.add_argument("--data", type=Path, help=DATA_HELP)
    sys.exit(0 if uvloop.run(main(folder(arguments.parse_args().data))) else 1)
