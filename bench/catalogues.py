"""Catalogs to measure with: films and ratings that lie on this machine, or made-up ones."""

from __future__ import annotations

import csv
import json
import os
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.data import films
from recmesh_client import Interaction, InteractionType, Item

DATA_HELP = "folder with movies-*.json; default RECMESH_BENCH_DATA"
MADE_UP = 35_000
MADE_UP_RATINGS = 100_000
_FILES = "movies-*.json"
_WORDS = 3
_PEOPLE = 600
_SINCE = datetime(2000, 1, 1, tzinfo=UTC)
_SECONDS = 20 * 365 * 24 * 3600


def folder(given: Path | None) -> Path | None:
    """The folder with films that was asked for; else the one that the environment names, if there are some.

    Raises:
        SystemExit: There are no films where they were asked for.
    """
    named = given or Path(os.environ.get("RECMESH_BENCH_DATA") or os.devnull)
    if any(named.glob(_FILES)):
        return named
    if given:
        sys.exit(f"no {_FILES} in {given}")
    return None


def items(data: Path | None) -> list[Item]:
    """Films for a catalog, `film-0` and so on.

    Args:
        data: A folder with `movies-*.json`, lists of films with `title`, `year`, `cast`, `genres` and `extract`. None:
            35,000 titles made of the words of the demo's films.
    """
    return list(_read(data) if data else _made_up())


def ratings(data: Path | None) -> Iterator[Interaction]:
    """Who rated what, and when.

    Args:
        data: A file of MovieLens' kind, `ratings.csv`: `userId,movieId,rating,timestamp`. None: 100,000 made-up
            ratings of films of `items`.
    """
    return _read_ratings(data) if data else _made_up_ratings()


def _read(data: Path) -> Iterator[Item]:
    rows = (
        film
        for path in sorted(data.glob(_FILES))
        for film in json.loads(path.read_text(encoding="utf-8"))
    )
    for number, film in enumerate(rows):
        yield Item(
            f"film-{number}",
            film["title"][:512],
            release_year=film["year"],
            cast=[name[:128] for name in film["cast"][:64] if name],
            genres=[genre[:64] for genre in film["genres"][:32]],
            description=(film.get("extract") or "")[:20_000],
        )


def _made_up() -> Iterator[Item]:
    chance = random.Random(7)  # noqa: S311 - the same films each time
    demo = films()
    words = sorted({word for item in demo for word in item.title.split() if len(word) > 3})
    for number in range(MADE_UP):
        title = " ".join(chance.choices(words, k=chance.randint(1, _WORDS)))
        yield Item(
            f"film-{number}",
            demo[number].title if number < len(demo) else title,
            release_year=chance.randint(1920, 2025),
            description=chance.choice(demo).description,
        )


def _read_ratings(data: Path) -> Iterator[Interaction]:
    with data.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield Interaction(
                row["movieId"],
                InteractionType.RATING,
                user=row["userId"],
                value=float(row["rating"]),
                event_time=datetime.fromtimestamp(int(row["timestamp"]), UTC),
            )


def _made_up_ratings() -> Iterator[Interaction]:
    chance = random.Random(8)  # noqa: S311 - the same ratings each time
    for _ in range(MADE_UP_RATINGS):
        yield Interaction(
            f"film-{chance.randrange(MADE_UP)}",
            InteractionType.RATING,
            user=f"person-{chance.randrange(_PEOPLE)}",
            value=chance.randint(1, 10) / 2,
            event_time=_SINCE + timedelta(seconds=chance.randrange(_SECONDS)),
        )
