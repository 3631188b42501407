"""What items have in common, as one number: people, genres and years that they share.

Measured on 3,000 films by what people like together (MovieLens): of the ten nearest by vectors
alone 12 % were among a film's fifty closest by likes, with these bonuses 16 %.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recmesh_jobs.items import IndexedItem
from recmesh_worker.engine.row import Row

_DIRECTOR = 0.1
_GENRES = 0.1  # times the Jaccard similarity of the genres
_ACTOR = 0.05  # each, at most two
_YEARS = 0.05  # for the same year, fading by e every ten years

_FIRST_CAPACITY = 256
_NO_GENRE = -1
_BITS = 512
"""Of a signature: of two lists of seven people one pair in ten has a bit in common by chance."""

Rows = NDArray[np.int64]


class Kinship:
    """What is compared of the items of one catalog, as numbers by row: many are compared at once, and few looked at.

    Genres are codes, so many for each row as the row has that has most. Whether two rows can have
    people in common is told by signatures, in which each name sets a bit.

    Not thread-safe: it belongs to a `CatalogMemory`, whose lock covers it.
    """

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._genres = np.full((_FIRST_CAPACITY, 1), _NO_GENRE, np.int32)
        self._signatures = np.zeros((_FIRST_CAPACITY, _BITS // 64), np.uint64)
        self._years = np.zeros(_FIRST_CAPACITY)
        self._items: list[IndexedItem] = []

    @property
    def nbytes(self) -> int:
        """What the arrays take."""
        return self._genres.nbytes + self._signatures.nbytes + self._years.nbytes

    def put(self, row: int, item: Row) -> None:
        """What is at a row now: one that is known, or the next."""
        codes = [self._codes.setdefault(genre, len(self._codes)) for genre in item.genres]
        if row == len(self._items):
            self._items.append(item.item)
        more = len(self._years) if row == len(self._years) else 0
        wider = max(0, len(codes) - self._genres.shape[1])
        if more or wider:
            room = ((0, more), (0, wider))
            self._genres = np.pad(self._genres, room, constant_values=_NO_GENRE)
        if more:
            self._signatures = np.pad(self._signatures, ((0, more), (0, 0)))
            self._years = np.pad(self._years, (0, more))
        self._items[row] = item.item
        self._genres[row] = _NO_GENRE
        self._genres[row, : len(codes)] = codes
        self._signatures[row] = _signature(item.people)
        self._years[row] = item.year or np.nan

    def bonuses(self, seeds: Rows, rows: Rows) -> NDArray[np.float64]:
        """What each of rows (m,) shares with its seed (m,): (m,) in [0, 0.35]."""
        bonuses = _GENRES * self._genres_alike(seeds, rows)
        between = np.abs(self._years[seeds] - self._years[rows])
        bonuses += np.where(np.isnan(between), 0, _YEARS * np.exp(-between / 10))
        maybe = (self._signatures[seeds] & self._signatures[rows]).any(axis=1)
        for place in np.flatnonzero(maybe).tolist():
            bonuses[place] += _people(self._items[seeds[place]], self._items[rows[place]])
        return bonuses

    def _genres_alike(self, seeds: Rows, rows: Rows) -> NDArray[np.float64]:
        """The Jaccard similarity (m,) of the genres, 0 where there are none."""
        mine = np.ascontiguousarray(self._genres[seeds].T)
        theirs = np.ascontiguousarray(self._genres[rows].T)
        shared = np.zeros(len(rows), np.int64)
        for genre in mine:
            shared += ((theirs == genre) & (genre != _NO_GENRE)).sum(axis=0)
        united = (mine != _NO_GENRE).sum(axis=0) + (theirs != _NO_GENRE).sum(axis=0) - shared
        alike: NDArray[np.float64] = shared / np.maximum(united, 1)
        return alike


def _signature(people: Iterable[str]) -> NDArray[np.uint64]:
    bits = 0
    for name in people:
        bits |= 1 << hash(name) % _BITS
    return np.frombuffer(bits.to_bytes(_BITS // 8, "little"), np.uint64)


def _people(one: IndexedItem, other: IndexedItem) -> float:
    cast = len(set(one.cast).intersection(other.cast))
    direct = not set(one.directors).isdisjoint(other.directors)
    return _DIRECTOR * direct + _ACTOR * min(2, cast)
