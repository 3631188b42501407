"""What readers and formats hand on: rows, good and bad, and where they stood."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recmesh_client import Interaction, Item

Kind = Literal["items", "interactions"]


class Unfit(Exception):
    """A row that cannot be sent.

    Attributes:
        message: What is wrong with it.
        field: The field at fault; empty when it is the whole row.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class UnfitSource(Exception):
    """Files that cannot be imported as they are, or not as what they were said to be."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it was read.

    Attributes:
        line: Where it begins, from 1; for Parquet the number of the row.
        values: Its columns.
    """

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flaw:
    """A row that could not be read.

    Attributes:
        line: Where it begins, from 1.
        message: What is wrong with it.
    """

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be sent.

    Attributes:
        file: Name of its file.
        line: Where it begins there, from 1.
        value: What it says.
        size: About how large it is, in characters.
    """

    file: str
    line: int
    value: Item | Interaction
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was kept out.

    Attributes:
        file: Name of its file.
        line: Where it begins there, from 1.
        message: Why.
        field: The field at fault; empty when it is not one.
        id: The row's own id, when it had one.
    """

    file: str
    line: int
    message: str
    field: str = ""
    id: str = ""


@dataclass(slots=True)
class Meter:
    """How far reading is.

    Attributes:
        done: Bytes of the files of a step.
    """

    done: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A part of an import: rows of one kind.

    Attributes:
        kind: Of which.
        files: Where the rows are.
        rows: Reads them, moves the meter. None for a row that is left out on purpose.
    """

    kind: Kind
    files: tuple[Path, ...]
    rows: Callable[[Meter], Iterator[Row | Refusal | None]]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(file.stat().st_size for file in self.files))
