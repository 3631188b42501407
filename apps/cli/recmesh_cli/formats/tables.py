"""Tables of any origin: CSV, JSON Lines, JSON arrays and Parquet, with a column mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from recmesh_cli.formats import build
from recmesh_cli.formats.files import (
    csv_header,
    read_csv,
    read_json,
    read_json_lines,
    read_parquet,
)
from recmesh_cli.formats.mapping import ColumnMapping
from recmesh_cli.formats.rows import Flaw, Meter, Record, Refusal, Row, Step, Unfit, UnfitSource
from recmesh_client import Interaction, Item

ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}
"""The format of a file by the ending of its name."""


def steps(
    files: Sequence[Path], form: str, mapping: ColumnMapping, delimiter: str, require: Sequence[str]
) -> tuple[Step, ...]:
    """How tables are imported.

    Args:
        files: In which order.
        form: One of the formats of `ENDINGS`.
        mapping: What the columns mean.
        delimiter: Between the columns of CSV; empty: a tab in files that end so, else a comma.
        require: Fields without which a row is left out.

    Raises:
        UnfitSource: The files have not the columns.
    """
    between = {path: delimiter or ("\t" if path.suffix == ".tsv" else ",") for path in files}
    if form == "csv":
        for path in files:
            mapping.check(csv_header(path, between[path]), path.name)
    unknown = [name for name in require if name not in Item.__slots__ + Interaction.__slots__]
    if unknown:
        raise UnfitSource(f"--require {unknown[0]}: there is no such field")

    def read(meter: Meter) -> Iterator[Row | Refusal | None]:
        for path in files:
            yield from rows(path.name, _records(form, path, meter, between[path]), make)

    make = partial(_make, mapping, tuple(require))
    return (Step(mapping.kind, tuple(files), read),)


def rows(
    file: str,
    records: Iterable[Record | Flaw],
    make: Callable[[Record], tuple[Item | Interaction, int] | None],
) -> Iterator[Row | Refusal | None]:
    """What the records of a file say; a record that says nothing stays None."""
    for record in records:
        if isinstance(record, Flaw):
            yield Refusal(file, record.line, record.message)
            continue
        try:
            made = make(record)
        except Unfit as unfit:
            said = f"{unfit.field}: {unfit.message}" if unfit.field else unfit.message
            yield Refusal(file, record.line, said, unfit.field)
        else:
            yield Row(file, record.line, *made) if made else None


def _records(form: str, path: Path, meter: Meter, delimiter: str) -> Iterator[Record | Flaw]:
    match form:
        case "csv":
            return read_csv(path, meter, delimiter)
        case "jsonl":
            return read_json_lines(path, meter)
        case "json":
            return read_json(path, meter)
        case _:
            return read_parquet(path, meter)


def _make(
    mapping: ColumnMapping, require: tuple[str, ...], record: Record
) -> tuple[Item | Interaction, int] | None:
    made: tuple[Item | Interaction, int]
    made = (build.item if mapping.kind == "items" else build.interaction)(record, mapping)
    if all(getattr(made[0], name) for name in require):
        return made
    return None
