"""What items can be filtered by, as columns over the rows of a catalog's memory.

A column is built when a filter first asks for it. When items change, only their rows of the columns
that are there are read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recmesh_jobs.items import IndexedItem
from recmesh_kit.filters.mask import Mask, Texts
from recmesh_kit.filters.schema import fold
from recmesh_worker.engine.row import Row

_KEPT = 32  # columns: each label that a filter names has one, and callers name what they like
_RENEWED = 2_000  # changed rows; when there are more, a column is built anew

_Column = TypeVar("_Column", "_Texts", "_Numbers")
_Rows = Sequence[Row | None]
_ReadTexts = Callable[[IndexedItem], Iterable[str]]
_ReadNumber = Callable[[IndexedItem], float | None]

_TEXTS: Mapping[str, _ReadTexts] = {
    "title": lambda item: _one(item.title),
    "language": lambda item: _one(item.language),
    "genres": lambda item: item.genres,
    "tags": lambda item: item.tags,
    "directors": lambda item: item.directors,
    "cast": lambda item: item.cast,
}
_NUMBERS: Mapping[str, _ReadNumber] = {
    "release_year": lambda item: item.release_year or None,
    "average_rating": lambda item: item.average_rating,
}


class Columns:
    """The columns of one catalog, as `recmesh_kit.filters.mask` asks for them.

    Not thread-safe: it belongs to a `CatalogMemory`, whose lock covers it.

    Args:
        rows: The items by row, None where there is none. It may grow and its items may change:
            `changed` is told of both.
    """

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self._texts: _Cache[_Texts] = _Cache()
        self._numbers: _Cache[_Numbers] = _Cache()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def changed(self, row: int) -> None:
        """What is at a row has changed, or the row is new."""
        self._texts.changed(row)
        self._numbers.changed(row)

    def texts(self, field: str) -> Texts:
        """The folded texts of a field."""
        return self._texts.get(field, lambda: _Texts(self._rows, _TEXTS[field])).values

    def label(self, field: str, key: str) -> Texts:
        """The folded values of one label."""

        def read(item: IndexedItem) -> Iterable[str]:
            return (item.labels[key],) if key in item.labels else ()

        return self._texts.get(f"{field}.{key}", lambda: _Texts(self._rows, read)).values

    def labelled(self, field: str) -> Mask:
        """The rows that have any label."""
        return self._flags(field, lambda item: bool(item.labels))

    def numbers(self, field: str) -> NDArray[np.float64]:
        """(rows,): NaN where there is none."""
        return self._numbers.get(field, lambda: _Numbers(self._rows, _NUMBERS[field])).values

    def flags(self, field: str) -> Mask:
        """(rows,): hidden, the only flag there is."""
        return self._flags(field, lambda item: item.hidden)

    def times(self, field: str) -> NDArray[np.datetime64]:
        """Raises KeyError: items have no times to filter by."""
        raise KeyError(field)

    def _flags(self, field: str, read: Callable[[IndexedItem], bool]) -> Mask:
        values = self._numbers.get(field, lambda: _Numbers(self._rows, read)).values
        flags: Mask = values == 1
        return flags


class _Cache(Generic[_Column]):
    """The columns used last, each with the rows of it that are stale."""

    def __init__(self) -> None:
        self._columns: OrderedDict[str, tuple[_Column, set[int]]] = OrderedDict()

    def changed(self, row: int) -> None:
        for _, stale in self._columns.values():
            stale.add(row)

    def get(self, name: str, build: Callable[[], _Column]) -> _Column:
        """A column, up to date."""
        column, stale = self._columns.get(name) or (build(), set[int]())
        if len(stale) > _RENEWED or column.worn:
            column, stale = build(), set[int]()
        elif stale:
            column.renew(sorted(stale))
            stale.clear()
        self._columns[name] = column, stale
        self._columns.move_to_end(name)
        if len(self._columns) > _KEPT:
            self._columns.popitem(last=False)
        return column


class _Texts:
    """A column of lists of texts."""

    def __init__(self, rows: _Rows, read: _ReadTexts) -> None:
        self._rows = rows
        self._read = read
        self.values = Texts.of(self._at(row) for row in range(len(rows)))
        self._first = len(self.values.codes)

    @property
    def worn(self) -> bool:
        """Whether most texts may be such as no row has any more. They select nothing."""
        return len(self.values.codes) > 2 * self._first + _RENEWED

    def renew(self, stale: Sequence[int]) -> None:
        """Read these rows again."""
        old = self.values
        codes = dict(old.codes)
        pairs = [
            (codes.setdefault(text, len(codes)), row) for row in stale for text in self._at(row)
        ]
        code, row = np.array(pairs, np.int64).reshape(-1, 2).T
        kept = np.isin(old.row, stale, invert=True)
        self.values = Texts(
            codes,
            np.concatenate([old.code[kept], code]),
            np.concatenate([old.row[kept], row]),
        )

    def _at(self, row: int) -> Iterable[str]:
        found = self._rows[row]
        return () if found is None else map(fold, self._read(found.item))


class _Numbers:
    """A column of numbers; flags are 0 and 1."""

    worn = False

    def __init__(self, rows: _Rows, read: _ReadNumber) -> None:
        self._rows = rows
        self._read = read
        self.values = np.fromiter(map(self._at, range(len(rows))), np.float64, len(rows))

    def renew(self, stale: Sequence[int]) -> None:
        """Read these rows again, and those that are new."""
        new = np.full(len(self._rows) - len(self.values), np.nan)
        self.values = np.concatenate([self.values, new])
        self.values[list(stale)] = [self._at(row) for row in stale]

    def _at(self, row: int) -> float:
        found = self._rows[row]
        value = None if found is None else self._read(found.item)
        return np.nan if value is None else value


def _one(text: str) -> Iterable[str]:
    return (text,) if text else ()
