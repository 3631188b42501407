"""Which format a source has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum, auto
from pathlib import Path

from recmesh_cli.formats import tables, tmdb
from recmesh_cli.formats.files import csv_header
from recmesh_cli.formats.mapping import ColumnMapping
from recmesh_cli.formats.movielens import MovieLens, Opinions
from recmesh_cli.formats.rows import Step, UnfitSource


class Format(StrEnum):
    """What a source may be."""

    MOVIELENS = auto()
    TMDB = auto()
    CSV = auto()
    JSONL = auto()
    JSON = auto()
    PARQUET = auto()


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a source is to be read.

    Attributes:
        form: Its format; None to find out.
        mapping: What columns mean, for tables.
        delimiter: Between columns of CSV; empty for the usual one.
        require: Fields without which a row of a table is left out.
        opinions: What ratings say, for MovieLens.
    """

    form: Format | None = None
    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    delimiter: str = ""
    require: Sequence[str] = ()
    opinions: Opinions = field(default_factory=Opinions)


def steps(sources: Sequence[Path], wishes: Wishes) -> tuple[Step, ...]:
    """How sources are imported. Raises UnfitSource when it cannot be told, or cannot be done."""
    for path in sources:
        if not path.exists():
            raise UnfitSource(f"there is no {path}")
    form = wishes.form or detected(sources, wishes.delimiter)
    match form:
        case Format.MOVIELENS:
            return MovieLens(_folder(sources)).steps(wishes.opinions)
        case Format.TMDB:
            return tmdb.Tmdb(_folder(sources)).steps()
        case _:
            files = [file for source in sources for file in _files(source, form)]
            if not files:
                raise UnfitSource(f"there is no {form.value} file in {sources[0]}")
            return tables.steps(files, form.value, wishes.mapping, wishes.delimiter, wishes.require)


def detected(sources: Sequence[Path], delimiter: str = "") -> Format:
    """The format of sources by their names. Raises UnfitSource."""
    first = sources[0]
    folder = first if first.is_dir() else first.parent
    if len(sources) == 1 and (first.is_dir() or first.name in (tmdb.MOVIES, tmdb.CREDITS)):
        if (folder / tmdb.MOVIES).is_file():
            return Format.TMDB
        if first.is_dir() and _is_movielens(folder):
            return Format.MOVIELENS
    forms = {tables.ENDINGS[file.suffix.lower()] for path in sources for file in _tables(path)}
    if len(forms) != 1:
        what = f"holds {', '.join(sorted(forms))}" if forms else "is nothing that is known here"
        raise UnfitSource(f"{first} {what}: name the files, or say --format")
    if any(file.suffix == ".csv" and "movieId" in csv_header(file) for file in _tables(first)):
        raise UnfitSource(f"{first} looks like MovieLens: name its folder, or say --format csv")
    return Format(forms.pop())


def _is_movielens(folder: Path) -> bool:
    films = MovieLens(folder)
    if films.ending == ".dat":
        return True
    paths = [folder / name for name in ("movies.csv", "ratings.csv")]
    return any(path.is_file() and "movieId" in csv_header(path) for path in paths)


def _tables(path: Path) -> list[Path]:
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in found if file.suffix.lower() in tables.ENDINGS and file.is_file()]


def _files(source: Path, form: Format) -> list[Path]:
    if not source.is_dir():
        return [source]
    return [file for file in _tables(source) if tables.ENDINGS[file.suffix.lower()] == form.value]


def _folder(sources: Sequence[Path]) -> Path:
    if len(sources) != 1:
        raise UnfitSource("name one folder")
    return sources[0] if sources[0].is_dir() else sources[0].parent
