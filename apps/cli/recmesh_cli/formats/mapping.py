"""Which column means what."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from recmesh_cli.formats.rows import Kind, UnfitSource

ITEM_FIELDS = (
    "id",
    "title",
    "original_title",
    "alternate_titles",
    "description",
    "genres",
    "tags",
    "release_year",
    "directors",
    "cast",
    "language",
    "image_uri",
    "average_rating",
    "hidden",
)
INTERACTION_FIELDS = ("id", "user", "item", "type", "value", "event_time", "session")
LABEL = "labels."
SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field's value stands.

    Attributes:
        name: The column's.
        separator: Between the parts of a text that is a list.
    """

    name: str
    separator: str = SEPARATOR


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """What rows mean.

    Attributes:
        kind: What they are.
        columns: Columns that are not called like their field.
        constants: Values of fields that are the same in all rows, or of a mapped field where a row has none.
    """

    kind: Kind = "items"
    columns: Mapping[str, Column] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = ITEM_FIELDS if self.kind == "items" else INTERACTION_FIELDS
        for name in (*self.columns, *self.constants):
            label = self.kind == "items" and len(name) > len(LABEL) and name.startswith(LABEL)
            if name not in known and not label:
                also = ", labels.KEY" if self.kind == "items" else ""
                raise UnfitSource(
                    f"{self.kind} have no field {name!r}: there are {', '.join(known)}{also}"
                )

    def column(self, name: str) -> Column | None:
        """Where a field's value stands: in the column that is mapped to it, else in the one that is called like it."""
        implied = None if name in self.constants else Column(name)
        return self.columns.get(name, implied)

    def labels(self, header: Iterable[str]) -> tuple[tuple[str, Column], ...]:
        """Keys of labels and where they stand, for rows with these columns."""
        names = [name for name in (*self.columns, *header) if name.startswith(LABEL)]
        found = {name: column for name in names if (column := self.column(name))}
        return tuple((name.removeprefix(LABEL), column) for name, column in found.items())

    def check(self, header: Sequence[str], file: str) -> None:
        """Raises UnfitSource when a column that was named is not in a file's header, or none of the needed is."""
        absent = [column.name for column in self.columns.values() if column.name not in header]
        if absent:
            raise UnfitSource(f"{file} has no column {absent[0]!r}: it has {', '.join(header)}")
        needed = ("title",) if self.kind == "items" else ("user", "item", "type")
        for name in needed:
            column = self.column(name)
            if name not in self.constants and (column is None or column.name not in header):
                raise UnfitSource(
                    f"nothing in {file} is the {name}: say which column with --map {name}=…"
                    f" (it has {', '.join(header)})"
                )


def from_options(kind: Kind | None, maps: Sequence[str], constants: Sequence[str]) -> ColumnMapping:
    """A mapping as told by `--map field=Column,sep=|`, or `--map field` for a column of that name, and by
    `--set field=value`. Raises UnfitSource.
    """
    columns = {}
    for said in maps:
        name, _, rest = said.partition("=")
        column, _, separator = (rest or name).partition(",sep=")
        columns[name.strip()] = Column(column.strip() or name.strip(), separator or SEPARATOR)
    values = {}
    for said in constants:
        name, equals, value = said.partition("=")
        if not equals:
            raise UnfitSource(f"--set {said}: say --set FIELD=VALUE")
        values[name.strip()] = value
    return ColumnMapping(kind or "items", columns, values)


def from_file(path: Path) -> ColumnMapping:
    """A mapping out of a TOML or JSON file. Raises UnfitSource."""
    try:
        said = path.read_text(encoding="utf-8")
        document = json.loads(said) if path.suffix == ".json" else tomllib.loads(said)
    except (OSError, ValueError) as error:
        raise UnfitSource(f"{path}: {error}") from None
    if not isinstance(document, dict) or document.keys() - {"kind", "map", "set"}:
        raise UnfitSource(f"{path}: a mapping holds kind, map and set, and nothing else")
    kind = document.get("kind", "items")
    columns, constants = document.get("map", {}), document.get("set", {})
    if kind not in get_args(Kind):
        raise UnfitSource(f"{path}: kind is one of {', '.join(get_args(Kind))}")
    if not isinstance(columns, dict) or not isinstance(constants, dict):
        raise UnfitSource(f"{path}: map and set are tables")
    return ColumnMapping(
        kind,
        {name: _column(path, name, said) for name, said in columns.items()},
        {name: str(value) for name, value in constants.items()},
    )


def _column(path: Path, name: str, said: Any) -> Column:
    match said:
        case str():
            return Column(said)
        case {"column": str(column), **rest} if rest.keys() <= {"sep"}:
            return Column(column, str(rest.get("sep", SEPARATOR)))
        case _:
            raise UnfitSource(f'{path}: {name} is "Column" or {{ column = "Column", sep = "|" }}')
