"""`make bench-rank`: what a worker computes for a query over tens of thousands of films, without the way there.

Promised: a batch of 64 by item or by title takes at most 1.3 times the processor time of the bare matrix product with
top-k, from the queries to the finished answers; a filter that was not used before adds at most 20 % to the processor
time of ranking, alone and in batches of 64 with 16 such filters among them; half of all titles, misspelt ones too, are
resolved within 3 ms; half of the queries by a history of 200 interactions take less than 20 ms. All of it is
processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.catalogues import DATA_HELP, folder
from bench.misspelling import SHORTEST, misspell
from bench.rank_films import CATALOG, DIMENSIONS, films
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import Event
from recmesh_jobs.items import IndexedItem
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.filters.tree import Condition
from recmesh_kit.text import normalise
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Diversity, EngineQuery, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel

BATCH = 64
FILTERS = 16
ROUNDS = 25
INTERACTIONS = 200
TITLES = 300
FILTER_ADDS = 0.2
TITLE_MS = 3.0
HISTORY_MS = 20.0
BARE_RATIO = 1.3
TOP = 60
"""Candidates of a query of ten: as many are looked for by the bare product."""
_WARM = 3
_NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
_RANKER = Ranker(ContentModel(), PopularityModel(), ["en"])


def main(data: Path | None) -> bool:
    """Ranks, prints; says whether what is promised holds."""
    items = films(data)
    memory = CatalogMemory(CATALOG, DIMENSIONS)
    memory.apply(items)
    chance = random.Random(1)  # noqa: S311 - the same questions each time
    beside = _beside_bare(memory, items, chance)
    alone, together = _filtered(memory, items, 1, chance), _filtered(memory, items, BATCH, chance)
    figures: dict[str, object] = {
        "benchmark": "rank",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "items": len(items),
        "real": data is not None,
        "ratio_to_bare": max(one["ratio"] for one in beside.values()),
        **{f"beside_bare_by_{kind}": one for kind, one in beside.items()},
        "alone": alone,
        f"batch_of_{BATCH}": together,
    }
    titles = [f.title for f in items if len(normalise(f.title)) >= SHORTEST and f.title]
    asked = chance.sample([title for title in titles if re.search("[a-z]", title)], TITLES)
    resolved = {
        "whole": _resolved(memory, asked, asked),
        "misspelt": _resolved(memory, asked, [misspell(title, chance) for title in asked]),
    }
    history = {
        level.name.lower(): _p50([_query(items, chance, level) for _ in range(ROUNDS)], memory)
        for level in Diversity
    }
    figures |= {"titles": resolved, "history_p50_ms": history}
    holds = (
        max(one["ratio"] for one in beside.values()) <= BARE_RATIO
        and max(alone["filter_adds"], together["filter_adds"]) <= FILTER_ADDS
        and all(one["p50_ms"] < TITLE_MS for one in resolved.values())
        and max(history.values()) < HISTORY_MS
    )
    figures["holds"] = holds
    _print(figures)
    print(json.dumps(figures))
    return holds


def _beside_bare(
    memory: CatalogMemory, films: Sequence[IndexedItem], chance: random.Random
) -> dict[str, dict[str, float]]:
    """Batches by item and by title, none of them asked before, each in turn with the bare product of as many vectors:
    milliseconds of processor time, the middle half of them, and how many times the bare one's median.
    """
    vectors = np.ascontiguousarray(memory.vectors)
    found = {}
    for kind in (SeedKind.ITEM, SeedKind.TITLE):
        bare: list[float] = []
        ours: list[float] = []
        for _ in range(ROUNDS + _WARM):
            asked = chance.sample(films, BATCH)
            rows = memory.rows_of(film.item for film in asked)
            bare.append(_bare_ms(vectors[rows], vectors))
            ours.append(
                _processor_ms(
                    [
                        EngineQuery(
                            kind=kind, seed=film.item if kind is SeedKind.ITEM else film.title
                        )
                        for film in asked
                    ],
                    memory,
                )
            )
        bare_p25, bare_p50, bare_p75 = statistics.quantiles(bare[_WARM:], n=4)
        p25, p50, p75 = statistics.quantiles(ours[_WARM:], n=4)
        found[kind.value] = {
            "bare_ms": round(bare_p50, 2),
            "bare_p25_ms": round(bare_p25, 2),
            "bare_p75_ms": round(bare_p75, 2),
            "ours_ms": round(p50, 2),
            "ours_p25_ms": round(p25, 2),
            "ours_p75_ms": round(p75, 2),
            "ratio": round(p50 / bare_p50, 3),
        }
    return found


def _bare_ms(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> float:
    """The product (64, d) @ (d, n), and its best in order: no mask, no mean, no bonus, no reason."""
    began = time.process_time()
    scores = queries @ vectors.T
    best = np.argpartition(scores, scores.shape[1] - TOP, axis=1)[:, -TOP:]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    np.take_along_axis(best, order, axis=1)
    return (time.process_time() - began) * 1000


def _filtered(
    memory: CatalogMemory, films: Sequence[IndexedItem], size: int, chance: random.Random
) -> dict[str, float]:
    """Batches of titles with and without filters, by turns: milliseconds of processor time, and what filters add.

    `masks_kept` is with masks that are there already, `after_a_change` with one item changed before each batch.
    """
    taken: dict[str, list[float]] = {"plain": [], "filtered": [], "kept": [], "changed": []}
    for place in range(ROUNDS * (4 if size == 1 else 1)):
        asked = chance.sample(films, size)
        plain = [EngineQuery(kind=SeedKind.TITLE, seed=film.title) for film in asked]
        filters = [_filter(films, chance) for _ in range(min(size, FILTERS))]
        filtered = [replace(query, filter=chance.choice(filters)) for query in plain]
        _RANKER.rank(filtered, memory)  # its columns are there
        memory.filters.forget_masks()
        taken["plain"].append(_processor_ms(plain, memory))
        taken["filtered"].append(_processor_ms(filtered, memory))
        taken["kept"].append(_processor_ms(filtered, memory))
        changed = replace(films[place], tags=(str(chance.random()),), revision=1 + size, seq=10**6)
        memory.apply([changed])
        memory.popular_rows()
        taken["changed"].append(_processor_ms(filtered, memory))
    p50 = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "plain_ms": round(p50["plain"], 2),
        "filtered_ms": round(p50["filtered"], 2),
        "masks_kept_ms": round(p50["kept"], 2),
        "after_a_change_ms": round(p50["changed"], 2),
        "filter_adds": round(p50["filtered"] / p50["plain"] - 1, 3),
    }


def _filter(films: Sequence[IndexedItem], chance: random.Random) -> Condition | None:
    """A filter that at least one film passes."""
    film = chance.choice(films)
    parts = [f"release_year >= {(film.release_year or 1980) - 5}"]
    if film.genres:
        parts.append(f"genres:{json.dumps(film.genres[0])}")
    if film.cast:
        parts.append(f"NOT cast:{json.dumps(film.cast[0])}")
    joined = chance.choice([" AND ", " OR "]).join(
        chance.sample(parts, chance.randint(1, len(parts)))
    )
    return read(joined, ITEMS)


def _query(films: Sequence[IndexedItem], chance: random.Random, level: Diversity) -> EngineQuery:
    """For you: films rated on one day and another, the newest first."""
    history = [
        Event(
            film.item,
            Interaction.TYPE_RATING,
            chance.choice([1.0, 2.0, 3.0, 3.5, 4.0, 4.5, 5.0]),
            _NOW - number * 86_400.0,
        )
        for number, film in enumerate(chance.sample(films, INTERACTIONS))
    ]
    return EngineQuery(kind=SeedKind.HISTORY, history=tuple(history), diversity=level)


def _resolved(
    memory: CatalogMemory, wanted: Sequence[str], asked: Sequence[str]
) -> dict[str, float]:
    """Resolves one title after another; the share that becomes the film that is meant, or one of the same title."""
    taken = []
    found = 0
    for title, query in zip(wanted, asked, strict=True):
        began = time.process_time()
        resolution = memory.titles.resolve(query)
        taken.append((time.process_time() - began) * 1000)
        found += resolution is not None and normalise(resolution.title) == normalise(title)
    taken.sort()
    return {
        "p50_ms": round(taken[len(taken) // 2], 3),
        "p95_ms": round(taken[len(taken) * 95 // 100], 3),
        "found": round(found / len(wanted), 3),
    }


def _p50(queries: Sequence[EngineQuery], memory: CatalogMemory) -> float:
    """Milliseconds for one query."""
    return round(statistics.median(_processor_ms([q], memory) for q in queries), 2)


def _processor_ms(batch: Sequence[EngineQuery], memory: CatalogMemory) -> float:
    began = time.process_time()
    _RANKER.rank(batch, memory)
    return (time.process_time() - began) * 1000


def _print(figures: dict[str, object]) -> None:
    table = Table("what", "figures")
    for name, value in figures.items():
        if isinstance(value, dict):
            table.add_row(name, "  ".join(f"{key} {number}" for key, number in value.items()))
    Console(width=140).print(table)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="What a worker computes, by itself.")
    arguments.add_argument("--data", type=Path, help=DATA_HELP)
    sys.exit(0 if main(folder(arguments.parse_args().data)) else 1)
