"""Catalogs to measure with: films that lie on this machine, or made-up ones."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from demo.films import films
from recmesh.catalog.v1.item_pb2 import Item

MADE_UP = 35_000
_WORDS = 3


def items(catalog: str, data: Path | None) -> list[Item]:
    """Films for a catalog.

    Args:
        catalog: The catalog's id.
        data: A folder with `movies-*.json`, lists of films with `title`, `year`, `cast`, `genres` and `extract`. None:
            35,000 titles made of the words of the demo's films.
    """
    rows = _read(data) if data else _made_up()
    return [
        Item(name=f"catalogs/{catalog}/items/film-{number}", **row)  # type: ignore[arg-type]
        for number, row in enumerate(rows)
    ]


def _read(data: Path) -> Iterator[dict[str, object]]:
    for path in sorted(data.glob("movies-*.json")):
        for film in json.loads(path.read_text(encoding="utf-8")):
            yield {
                "title": film["title"][:512],
                "release_year": film["year"],
                "cast": [name[:128] for name in film["cast"][:64] if name],
                "genres": [genre[:64] for genre in film["genres"][:32]],
                "description": (film.get("extract") or "")[:20_000],
            }


def _made_up() -> Iterator[dict[str, object]]:
    chance = random.Random(7)  # noqa: S311 - the same films each time
    demo = films()
    words = sorted({word for item in demo for word in item.title.split() if len(word) > 3})
    for number in range(MADE_UP):
        title = " ".join(chance.choices(words, k=chance.randint(1, _WORDS)))
        yield {
            "title": demo[number].title if number < len(demo) else title,
            "release_year": chance.randint(1920, 2025),
            "description": chance.choice(demo).description,
        }
