"""The films and the made-up people, as the SDK takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recmesh_client import Interaction, InteractionType, Item

CATALOG = "films"
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Person:
    """Somebody made up.

    Attributes:
        id: The id that the interactions go by: `made-up-mira-k`.
        name: An invented name.
        taste: One sentence on what the person likes.
        interactions: What the person did, oldest first.
    """

    id: str
    name: str
    taste: str
    interactions: tuple[Interaction, ...]


def films() -> list[Item]:
    """All films."""
    return [_film(row) for row in _rows("films.jsonl")]


def people() -> list[Person]:
    """All people, with their interactions in the two years up to now. Each interaction has an id of its own, so that a
    second import changes nothing.
    """
    now = datetime.now(UTC)
    return [_person(row, now) for row in _rows("people.jsonl")]


def _rows(name: str) -> Iterator[dict[str, Any]]:
    with (FOLDER / name).open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _film(row: dict[str, Any]) -> Item:
    countries: Sequence[str] = row.pop("countries")
    return Item(**row, labels={"countries": ", ".join(countries)})


def _person(row: dict[str, Any], now: datetime) -> Person:
    person = f"made-up-{row['id']}"
    return Person(
        person,
        row["name"],
        row["taste"],
        tuple(_interaction(person, said, now) for said in row["interactions"]),
    )


def _interaction(person: str, said: dict[str, Any], now: datetime) -> Interaction:
    kind = InteractionType(said["type"].lower())
    return Interaction(
        said["item"],
        kind,
        user=person,
        value=said.get("value"),
        event_time=now - timedelta(days=said["day"]),
        id=f"{person}-{kind}-{said['item']}",
    )
