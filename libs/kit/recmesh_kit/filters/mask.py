"""Conditions as masks over rows in memory: the same rows that SQL selects. Needs the extra `mask`: numpy.

Texts lie as the distinct ones and where each occurs, so that a text is compared once however many rows hold it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recmesh_kit.filters.schema import Kind
from recmesh_kit.filters.tree import (
    And,
    Compare,
    Condition,
    Everything,
    Match,
    Not,
    Or,
    Present,
    Target,
)

Mask = NDArray[np.bool_]
"""(rows,): which of them are selected."""

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of lists of texts; a column of single texts has lists of one, and of none where it is missing.

    Attributes:
        codes: Each distinct text, folded unless it is an id -> its number, from 0 in this order.
        code: (occurrences,) int64: number of a text.
        row: (occurrences,) int64: the row where it occurs.
    """

    codes: Mapping[str, int]
    code: NDArray[np.int64]
    row: NDArray[np.int64]

    @staticmethod
    def of(rows: Iterable[Iterable[str]]) -> Texts:
        """The column whose rows hold these texts, in their order."""
        codes: dict[str, int] = {}
        pairs = [
            (codes.setdefault(text, len(codes)), row)
            for row, texts in enumerate(rows)
            for text in texts
        ]
        code, row = np.array(pairs, np.int64).reshape(-1, 2).T
        return Texts(codes, code, row)


class Columns(Protocol):
    """Where the rows' values come from, by the kinds of the fields."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        ...

    def texts(self, field: str) -> Texts:
        """Of a TEXT, an ID, TEXTS or an ENUM."""
        ...

    def label(self, field: str, key: str) -> Texts:
        """Of one label. An empty value is one, too."""
        ...

    def labelled(self, field: str) -> Mask:
        """The rows that have any label."""
        ...

    def numbers(self, field: str) -> NDArray[np.float64]:
        """(rows,): of a NUMBER, or of an INTEGER of at most 32 bits. NaN where it is missing."""
        ...

    def flags(self, field: str) -> Mask:
        """(rows,): of a BOOLEAN."""
        ...

    def times(self, field: str) -> NDArray[np.datetime64]:
        """(rows,) datetime64[us], in UTC: of a TIME."""
        ...


def select(condition: Condition, columns: Columns) -> Mask:
    """A new mask, (rows,) bool, of the rows that the condition selects."""
    match condition:
        case And(parts):
            return reduce(np.logical_and, (select(part, columns) for part in parts))
        case Or(parts):
            return reduce(np.logical_or, (select(part, columns) for part in parts))
        case Not(part):
            return np.logical_not(select(part, columns))
        case Everything():
            return np.ones(columns.rows, np.bool_)
        case Present(target):
            return _present(target, columns)
        case Compare(target):
            return _compare(condition, columns)
        case Match(target):
            texts = _texts(target, columns)
            if condition.open_start or condition.open_end:
                return _rows(texts, columns, _pattern(condition))
            return _rows_of(texts, columns, condition.text)


def _present(target: Target, columns: Columns) -> Mask:
    match target.kind:
        case Kind.TEXT | Kind.ID | Kind.TEXTS:
            return _marked(columns, columns.texts(target.field).row)
        case Kind.LABELS if target.key is None:
            return columns.labelled(target.field).copy()
        case Kind.LABELS:
            return _marked(columns, _texts(target, columns).row)
        case Kind.NUMBER | Kind.INTEGER:
            return np.logical_not(np.isnan(columns.numbers(target.field)))
        case Kind.BOOLEAN | Kind.TIME | Kind.ENUM:
            return np.ones(columns.rows, np.bool_)


def _compare(condition: Compare, columns: Columns) -> Mask:
    target, value = condition.target, condition.value
    compare = _OPERATORS[condition.operator]
    mask: Mask
    match target.kind:
        case Kind.NUMBER | Kind.INTEGER:
            assert isinstance(value, int | float)
            mask = compare(columns.numbers(target.field), float(value))
        case Kind.BOOLEAN:
            mask = columns.flags(target.field) == value
        case Kind.TIME:
            assert isinstance(value, datetime)
            moment = np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "us")
            mask = compare(columns.times(target.field), moment)
        case _:
            # Python compares texts by code points, as collation C does.
            mask = _rows(_texts(target, columns), columns, lambda text: compare(text, value))
    return mask


def _texts(target: Target, columns: Columns) -> Texts:
    if target.key is None:
        return columns.texts(target.field)
    return columns.label(target.field, target.key)


def _pattern(condition: Match) -> Callable[[str], bool]:
    text = condition.text
    if condition.open_start and condition.open_end:
        return lambda found: text in found
    if condition.open_start:
        return lambda found: found.endswith(text)
    return lambda found: found.startswith(text)


def _rows(texts: Texts, columns: Columns, wanted: Callable[[str], bool]) -> Mask:
    """The rows where a text occurs that is wanted."""
    chosen = np.fromiter((wanted(text) for text in texts.codes), np.bool_, len(texts.codes))
    return _marked(columns, texts.row[_places(chosen[texts.code])])


def _rows_of(texts: Texts, columns: Columns, text: str) -> Mask:
    """The rows where this text occurs."""
    code = texts.codes.get(text, -1)
    return _marked(columns, texts.row[_places(texts.code == code)])


def _places(mask: Mask) -> NDArray[np.intp]:
    """Where a mask is true: to choose by places is up to four times as fast as by the mask."""
    return np.flatnonzero(mask)


def _marked(columns: Columns, rows: NDArray[np.int64]) -> Mask:
    mask = np.zeros(columns.rows, np.bool_)
    mask[rows] = True
    return mask
