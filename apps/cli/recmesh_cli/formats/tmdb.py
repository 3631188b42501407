"""TMDB 5000: `tmdb_5000_movies.csv` and `tmdb_5000_credits.csv`, with JSON in some columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recmesh_cli.formats import build, values
from recmesh_cli.formats.files import csv_header, read_csv
from recmesh_cli.formats.mapping import Column, ColumnMapping
from recmesh_cli.formats.rows import Flaw, Meter, Record, Refusal, Row, Step, Unfit, UnfitSource
from recmesh_cli.formats.side import Side
from recmesh_cli.formats.tables import rows
from recmesh_client import Item

MOVIES, CREDITS = "tmdb_5000_movies.csv", "tmdb_5000_credits.csv"
_CAST = 16
_MAPPING = ColumnMapping(
    "items",
    {
        "id": Column("id"),
        "title": Column("title"),
        "original_title": Column("original_title"),
        "description": Column("overview"),
        "genres": Column("genres"),
        "tags": Column("keywords"),
        "release_year": Column("release_date"),
        "directors": Column("directors"),
        "cast": Column("cast"),
        "language": Column("original_language"),
        "average_rating": Column("vote_average"),
        "labels.countries": Column("production_countries"),
        "labels.status": Column("status"),
    },
)
_COLUMNS = {
    MOVIES: {column.name for column in _MAPPING.columns.values()} - {"directors", "cast"},
    CREDITS: {"movie_id", "cast", "crew"},
}


@dataclass(frozen=True, slots=True)
class Tmdb:
    """A folder with the files of TMDB 5000; it does without the credits."""

    folder: Path

    def steps(self) -> tuple[Step, ...]:
        """How it is imported. Raises UnfitSource."""
        for name in (MOVIES, CREDITS):
            path = self.folder / name
            if path.is_file():
                absent = sorted(_COLUMNS[name] - {*csv_header(path)})
                if absent:
                    raise UnfitSource(f"{name} has no column {absent[0]!r}: is it TMDB 5000?")
            elif name == MOVIES:
                raise UnfitSource(f"{self.folder} holds no {MOVIES}")
        files = [path for path in (self._credits, self.folder / MOVIES) if path.is_file()]
        return (Step("items", tuple(files), self._films),)

    @property
    def _credits(self) -> Path:
        return self.folder / CREDITS

    def _films(self, meter: Meter) -> Iterator[Row | Refusal | None]:
        with Side() as side:
            if self._credits.is_file():
                flaws: list[Refusal] = []
                side.put(_people(read_csv(self._credits, meter), flaws))
                yield from flaws
            yield from rows(MOVIES, read_csv(self.folder / MOVIES, meter), partial(_film, side))


def _people(
    records: Iterator[Record | Flaw], flaws: list[Refusal]
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    for record in records:
        if isinstance(record, Flaw):
            flaws.append(Refusal(CREDITS, record.line, record.message))
            continue
        said = record.values
        try:
            people = {"cast": _cast(said["cast"]), "directors": _directors(said["crew"])}
        except Unfit as unfit:
            flaws.append(Refusal(CREDITS, record.line, f"cast or crew: {unfit.message}", "cast"))
        else:
            yield said["movie_id"].strip(), people


def _cast(said: str) -> list[str]:
    people = [one for one in _objects(said) if one.get("name")]
    people.sort(key=lambda one: one["order"] if isinstance(one.get("order"), int) else 0)
    return [str(one["name"]) for one in people[:_CAST]]


def _directors(said: str) -> list[str]:
    return [str(one["name"]) for one in _objects(said) if one.get("job") == "Director"]


def _objects(said: str) -> list[dict[str, Any]]:
    return [one for one in values.json_list(said or "[]") if isinstance(one, dict)]


def _film(side: Side, record: Record) -> tuple[Item, int]:
    people = side.get(str(record.values["id"]).strip()) or {}
    said = dict(record.values)
    if said.get("vote_count") == "0":
        said["vote_average"] = ""
    said["production_countries"] = ", ".join(values.texts(said["production_countries"]))
    return build.item(Record(record.line, {**said, **people}), _MAPPING)
