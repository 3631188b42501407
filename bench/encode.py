"""`make bench-encode`: texts to vectors, by the worker's encoder and by sentence-transformers, on as many threads.

Promised of the encoder as it is by default: at least 2 times the texts in a second, a mean cosine to the reference of
at least 0.99, and the same top ten within 1 %: of the ten nearest items of each item, and of the ten items nearest to
each text, at least 99 % are those of the reference (`recall`). The reference is `SentenceTransformer.encode` with its
defaults: torch, float32. Vectors are centred before neighbours are looked for, as in ranking.

The encoder in 8-bit integers is measured beside it, so that the default can be judged. Nothing is cached.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from transformers.utils import logging

from bench.catalogues import DATA_HELP, folder, items
from demo.data import films
from recmesh_client import Item
from recmesh_worker.encoder import DEFAULT_SOURCE, Encoder
from recmesh_worker.encoder.source import folder as model_folder
from recmesh_worker.engine.item_text import item_text

TEXTS = 400
ASKED = 200
ROUNDS = 5
NEIGHBOURS = 10
FASTER, COSINE, RECALL = 2.0, 0.99, 0.99
OURS, INT8, REFERENCE = "float32", "int8", "sentence-transformers"

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]


def main(data: Path | None, threads: int, rounds: int, count: int) -> bool:
    """Encodes, prints; says whether what is promised holds."""
    threadpool_limits(threads)
    texts, asked = _texts(data, count)
    systems = _systems(threads)
    took: dict[str, list[float]] = {name: [] for name in systems}
    cpu: dict[str, list[float]] = {name: [] for name in systems}
    found: dict[str, Vectors] = {}
    for turn in range(rounds):
        # Each goes first as often as the others.
        for name in [*systems][turn % len(systems) :] + [*systems][: turn % len(systems)]:
            began, used = time.perf_counter(), time.process_time()
            found[name] = systems[name](texts)
            took[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)
    queries = {name: encode(asked) for name, encode in systems.items()}
    figures = {
        name: {
            "texts_per_s": round(count / median(took[name]), 1),
            "ratio": _ratio(took, name),
            "cpu_ratio": _ratio(cpu, name),
            **_quality(found[name], queries[name], found[REFERENCE], queries[REFERENCE]),
        }
        for name in systems
    }
    _print(figures, data is not None, len(texts), threads, rounds)
    ours = figures[OURS]
    return (
        ours["ratio"] >= FASTER
        and ours["mean_cosine"] >= COSINE
        and min(ours["recall_items"], ours["recall_texts"]) >= RECALL
    )


def _texts(data: Path | None, count: int) -> tuple[list[str], list[str]]:
    """What is embedded of items, and texts to ask with: sentences from descriptions of others."""
    chance = random.Random(3)  # noqa: S311 - the same texts each time
    described = [item for item in (items(data) if data else films()) if item.description]
    chance.shuffle(described)
    embedded = (described * (count // len(described) + 1))[:count]
    sentences = [item.description.split(". ")[-1] for item in reversed(described)]
    return [_text(item) for item in embedded], sentences[:ASKED]


def _text(item: Item) -> str:
    return item_text(
        title=item.title,
        description=item.description,
        genres=item.genres,
        tags=item.tags,
        release_year=item.release_year,
    )


def _systems(threads: int) -> dict[str, Encode]:
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    reference = SentenceTransformer(str(model_folder(DEFAULT_SOURCE)), device="cpu")
    ours, int8 = Encoder(threads=threads), Encoder(threads=threads, precision="int8")

    def encode(texts: Sequence[str]) -> Vectors:
        return np.asarray(reference.encode(list(texts), show_progress_bar=False), np.float32)

    ours.load()
    int8.load()
    encode(["warm up"])
    return {OURS: ours.encode, INT8: int8.encode, REFERENCE: encode}


def _ratio(seconds: dict[str, list[float]], name: str) -> float:
    """How many times as fast as the reference: the median over the rounds, as what disturbs a round disturbs both."""
    pairs = zip(seconds[REFERENCE], seconds[name], strict=True)
    return round(median(theirs / ours for theirs, ours in pairs), 2)


def _quality(
    vectors: Vectors, asked: Vectors, reference: Vectors, reference_asked: Vectors
) -> dict[str, float]:
    theirs, mine = _centred(reference), _centred(vectors)
    return {
        "mean_cosine": round(float((vectors * reference).sum(1).mean()), 5),
        "recall_items": _recall(_alone(mine @ mine.T), _alone(theirs @ theirs.T)),
        "recall_texts": _recall(asked @ mine.T, reference_asked @ theirs.T),
    }


def _recall(scores: Vectors, reference: Vectors) -> float:
    """The share of the reference's top ten that is in the other's top ten, over all rows."""
    kept = [
        len({*mine} & {*theirs}) / NEIGHBOURS
        for mine, theirs in zip(_top(scores), _top(reference), strict=True)
    ]
    return round(float(np.mean(kept)), 4)


def _top(scores: Vectors) -> NDArray[np.int64]:
    return np.argsort(-scores, axis=1, kind="stable")[:, :NEIGHBOURS]


def _alone(scores: Vectors) -> Vectors:
    """Nobody is a neighbour of its own."""
    np.fill_diagonal(scores, -np.inf)
    return scores


def _centred(vectors: Vectors) -> Vectors:
    around = vectors - vectors.mean(axis=0)
    units: Vectors = around / np.linalg.norm(around, axis=1, keepdims=True)
    return units


def _print(
    figures: dict[str, dict[str, float]], real: bool, count: int, threads: int, rounds: int
) -> None:
    columns = ("texts/s", "times as fast", "by CPU", "mean cosine", "recall items", "recall texts")
    table = Table("encoder", *columns)
    for name, one in figures.items():
        table.add_row(name, *(f"{value:g}" for value in one.values()))
    Console(width=110).print(table)
    ours, reference = figures[OURS], figures[REFERENCE]
    summary: dict[str, object] = {
        "benchmark": "encode",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "real": real,
        "texts": count,
        "threads": threads,
        "rounds": rounds,
        "texts_per_s": ours["texts_per_s"],
        "reference_texts_per_s": reference["texts_per_s"],
        "ratio": ours["ratio"],
        "mean_cosine": ours["mean_cosine"],
        "top10": min(ours["recall_items"], ours["recall_texts"]),
        "encoders": figures,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Texts to vectors.")
    parser.add_argument("--data", type=Path, help=DATA_HELP)
    parser.add_argument("--threads", type=int, default=1, help="of each encoder")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--texts", type=int, default=TEXTS)
    given = parser.parse_args()
    kept = main(folder(given.data), given.threads, given.rounds, given.texts)
    sys.exit(0 if kept else 1)
