"""Readers: rows of a file with their lines, a few at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recmesh_cli.formats.rows import Flaw, Meter, Record, UnfitSource

MOST_CHARACTERS = 1024 * 1024
"""In a field of a CSV file, or a line of JSON. The quote that was never closed ends here."""
BATCH_ROWS = 1024
_BOM = "\ufeff"


class Lines:
    """The lines of a text file, ends of lines kept.

    Args:
        path: The file: UTF-8, with or without a byte order mark.
        meter: Moved by the bytes that were read.
        fallback: An encoding for lines that are not UTF-8. Without one they are given with marks in the place of what
            could not be read, and `flawed` is set.
    """

    def __init__(self, path: Path, meter: Meter, fallback: str = "") -> None:
        self.flawed = False
        self.number = 0
        self._path = path
        self._meter = meter
        self._fallback = fallback

    def __iter__(self) -> Iterator[str]:
        with self._path.open("rb") as file:
            for line in file:
                self.number += 1
                self._meter.done += len(line)
                text = self._text(line)
                yield text.removeprefix(_BOM) if self.number == 1 else text

    def _text(self, line: bytes) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            if self._fallback:
                return line.decode(self._fallback)
            self.flawed = True
            return line.decode(errors="replace")


def csv_header(path: Path, delimiter: str = ",") -> tuple[str, ...]:
    """The names of a file's columns; none for an empty file."""
    return tuple(next(csv.reader(iter(Lines(path, Meter())), delimiter=delimiter), ()))


def read_csv(path: Path, meter: Meter, delimiter: str = ",") -> Iterator[Record | Flaw]:
    """Rows of a CSV file with a header."""
    csv.field_size_limit(MOST_CHARACTERS)
    lines = Lines(path, meter)
    reader = csv.reader(iter(lines), delimiter=delimiter)
    header = next(reader, [])
    width = len(header)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Flaw(line, f"is not CSV: {error}")
            continue
        if lines.flawed:
            lines.flawed = False
            yield Flaw(line, "is not UTF-8")
        elif len(row) == width:
            yield Record(line, dict(zip(header, row, strict=True)))
        elif row:
            yield Flaw(line, f"has {len(row)} columns and not {width}, as the header has")


def read_split(
    path: Path, meter: Meter, columns: tuple[str, ...], separator: str = "::"
) -> Iterator[Record | Flaw]:
    """Rows of a file without quotes and header; UTF-8 or, line by line, Latin-1."""
    for line, text in enumerate(Lines(path, meter, fallback="latin-1"), 1):
        row = text.rstrip("\r\n").split(separator)
        if len(row) == len(columns):
            yield Record(line, dict(zip(columns, row, strict=True)))
        elif text.strip():
            yield Flaw(line, f"has {len(row)} columns and not {len(columns)}")


def read_json_lines(path: Path, meter: Meter) -> Iterator[Record | Flaw]:
    """Rows of a file with a JSON object on each line."""
    lines = Lines(path, meter)
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        if lines.flawed:
            lines.flawed = False
            yield Flaw(line, "is not UTF-8")
        elif len(text) > MOST_CHARACTERS:
            yield Flaw(line, f"is longer than {MOST_CHARACTERS} characters")
        else:
            yield _parsed(line, text)


def _parsed(line: int, text: str) -> Record | Flaw:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Flaw(line, f"is not JSON: {error}")
    return _object(line, value)


def _object(line: int, value: Any) -> Record | Flaw:
    if not isinstance(value, dict):
        return Flaw(line, "is not a JSON object")
    return Record(line, value)


def read_json(path: Path, meter: Meter) -> Iterator[Record | Flaw]:
    """Rows of a file with one array of JSON objects. The file's text is held, its rows are not."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnfitSource(f"{path.name} is not UTF-8: {error.reason}") from None
    start = meter.done
    size = path.stat().st_size
    decoder = json.JSONDecoder()
    line = 1
    seen = 0
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise UnfitSource(f"{path.name} does not hold an array of objects")
    at = _skip(text, at + 1)
    while text[at : at + 1] not in ("]", ""):
        line += text.count("\n", seen, at)
        seen = at
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield Flaw(line, f"is not JSON, and nothing after it was read: {error}")
            break
        yield _object(line, value)
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            yield Flaw(line, "is not followed by a comma, and nothing after it was read")
            break
        meter.done = start + size * at // len(text)
    meter.done = start + size


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def read_parquet(path: Path, meter: Meter) -> Iterator[Record | Flaw]:
    """Rows of a Parquet file."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UnfitSource("Parquet needs pyarrow: pip install 'recmesh-cli[parquet]'") from None
    start, size = meter.done, path.stat().st_size
    try:
        with parquet.ParquetFile(path) as file:
            rows, line = file.metadata.num_rows, 0
            for batch in file.iter_batches(BATCH_ROWS):
                for values in batch.to_pylist():
                    line += 1
                    yield Record(line, values)
                meter.done = start + size * line // rows
    except pyarrow.ArrowException as error:
        raise UnfitSource(f"{path.name} is not Parquet: {error}") from None
