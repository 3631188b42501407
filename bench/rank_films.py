"""The films that ranking is measured with, as the read model has them, with vectors made of their words."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.catalogues import items
from demo.data import films as demo_films
from recmesh_client import Item
from recmesh_jobs.items import IndexedItem, Vector

CATALOG = "bench-rank"
DIMENSIONS = 384
COUNT = 62_000
_WORDS = 4096
_PEOPLE = 8_000
_MOST_CAST = 8


def films(data: Path | None) -> list[IndexedItem]:
    """62,000 films with a text: those of a folder, or made-up ones; when there are fewer, their sequels too.

    A vector has each word of the text in a direction of its own, what all texts share, and a little
    of no meaning; so films of one text, as most made-up ones and all sequels have, are a cluster.
    """
    chance = np.random.default_rng(0)
    directions = chance.standard_normal((_WORDS, DIMENSIONS), np.float32)
    bare = [film for film in (items(data) if data else _made_up()) if film.description]
    return [
        IndexedItem(
            catalog=CATALOG,
            item=f"film-{number}",
            revision=1,
            seq=number + 1,
            title=_title(film, number // len(bare)),
            genres=tuple(film.genres),
            directors=tuple(film.directors),
            cast=tuple(film.cast),
            release_year=film.release_year,
            popularity=float(number % 97),
            vector=_vector(film.description, directions, chance),
        )
        for number, film in enumerate(islice(cycle(bare), COUNT))
    ]


def _title(film: Item, sequel: int) -> str:
    return f"{film.title} {sequel + 1}" if sequel else film.title


def _made_up() -> Iterator[Item]:
    """The films of other benchmarks with genres and people."""
    chance = random.Random(9)  # noqa: S311 - the same films each time
    genres = sorted({genre for film in demo_films() for genre in film.genres})
    people = [f"Person {number}" for number in range(_PEOPLE)]
    for film in items(None):
        yield replace(
            film,
            genres=chance.sample(genres, chance.randint(1, 3)),
            directors=[chance.choice(people)],
            cast=chance.sample(people, chance.randint(0, _MOST_CAST)),
        )


def _vector(text: str, directions: NDArray[np.float32], chance: np.random.Generator) -> Vector:
    words = [zlib.crc32(word.encode()) % _WORDS for word in re.findall(r"\w+", text.lower())[:60]]
    vector: Vector = directions[words].sum(axis=0) + 60 * directions[0]
    return vector + chance.standard_normal(DIMENSIONS, np.float32)
