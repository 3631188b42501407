"""`make bench-import`: ImportItems and ImportInteractions, from the SDK into PostgreSQL.

Promised: 2,000 rows a second or more of each. A second run of the same rows changes nothing. The sender is this
process, on the same machine; its own share of the processor is part of the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.catalogues import DATA_HELP, folder, items, ratings
from recmesh_client import AsyncClient, ImportReport, Password

ROWS_PER_S = 2000.0


@dataclass(frozen=True)
class Figures:
    """One kind of rows.

    Attributes:
        rows: How many.
        rows_per_s: Of the first run.
        again_rows_per_s: Of the second one.
        client_cpu: How busy this process was in the first run, as a share of one core.
        as_promised: All were new the first time, and none the second.
    """

    rows: int
    rows_per_s: int
    again_rows_per_s: int
    client_cpu: float
    as_promised: bool


async def main(data: Path | None, rated: Path | None) -> bool:
    """Imports into a catalog of its own, prints; says whether what is promised holds."""
    films = await asyncio.to_thread(items, data)
    people = await asyncio.to_thread(lambda: list(ratings(rated)))
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    catalog = f"bench-import-{time.time_ns():x}"
    async with AsyncClient.connect(credentials=admin) as client:
        await client.create_catalog(catalog)
        try:
            found = {
                "items": await _twice(films, lambda: client.import_items(catalog, films)),
                "interactions": await _twice(
                    people, lambda: client.import_interactions(catalog, people)
                ),
            }
        finally:
            await client.delete_catalog(catalog, force=True)
    holds = all(f.as_promised and f.rows_per_s >= ROWS_PER_S for f in found.values())
    _print(found)
    print(
        json.dumps(
            {
                "benchmark": "import",
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "real": {"items": data is not None, "interactions": rated is not None},
                **{kind: asdict(figures) for kind, figures in found.items()},
                "holds": holds,
            }
        )
    )
    return holds


async def _twice(rows: Sequence[object], run: Callable[[], Awaitable[ImportReport]]) -> Figures:
    """Imports the same rows two times."""
    used = time.process_time()
    first, took = await _timed(run)
    cpu = (time.process_time() - used) / took
    second, again = await _timed(run)
    created = (first.created, second.created, second.unchanged)
    return Figures(
        rows=len(rows),
        rows_per_s=round(len(rows) / took),
        again_rows_per_s=round(len(rows) / again),
        client_cpu=round(cpu, 2),
        as_promised=created == (len(rows), 0, len(rows)),
    )


async def _timed(run: Callable[[], Awaitable[ImportReport]]) -> tuple[ImportReport, float]:
    began = time.perf_counter()
    report = await run()
    return report, time.perf_counter() - began


def _print(found: Mapping[str, Figures]) -> None:
    table = Table("rows", "count", "rows/s", "again rows/s", "client CPU", "as promised")
    for kind, figures in found.items():
        *numbers, as_promised = asdict(figures).values()
        table.add_row(kind, *(f"{n:,}" for n in numbers), "yes" if as_promised else "no")
    Console(width=100).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Import items and interactions.")
    parser.add_argument("--data", type=Path, help=DATA_HELP)
    parser.add_argument("--ratings", type=Path, help="a ratings.csv of MovieLens' kind")
    arguments = parser.parse_args()
    sys.exit(0 if uvloop.run(main(folder(arguments.data), arguments.ratings)) else 1)
