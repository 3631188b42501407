"""One catalog's items in a worker's memory: vectors, metadata, titles.

A `CatalogMemory` has one lock. `apply` takes it, and `rank` holds it while it reads, so both may
run in any thread; run both on the worker's compute thread, and the event loop never waits for it.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recmesh_jobs.items import IndexedItem
from recmesh_worker.engine.centring import Centring
from recmesh_worker.engine.filter import Filters
from recmesh_worker.engine.kinship import Kinship
from recmesh_worker.engine.neighbours import Neighbours
from recmesh_worker.engine.row import Row
from recmesh_worker.engine.titles import Resolution, TitleIndex

_Number = TypeVar("_Number", bound=np.generic)

_FIRST_CAPACITY = 256
_RESOLVED = 4_096  # typed titles that are remembered
_BYTES_PER_ITEM = 4_000  # metadata and titles of a film, measured with tracemalloc


class CatalogMemory:
    """The items of one catalog, by row. Rows stay while the lock is held; ids stay for good.

    `vectors` (n, d) float32 has unit or zero rows, `visible` (n,) is true for items that may be
    answered, n being the rows in use, freed ones included.
    """

    def __init__(self, catalog: str, dimensions: int) -> None:
        self.catalog = catalog
        self.dimensions = dimensions
        self.lock = threading.RLock()
        self.titles = TitleIndex()
        self._resolved: dict[str, Resolution | None] = {}
        self.last_seq = 0
        self._rows: list[Row | None] = []
        self._row_of: dict[str, int] = {}
        self._free: list[int] = []
        self._seqs: dict[str, int] = {}
        self._matrix = np.zeros((_FIRST_CAPACITY, dimensions), np.float32)
        self._visible = np.zeros(_FIRST_CAPACITY, np.bool_)
        self._embedded = np.zeros(_FIRST_CAPACITY, np.bool_)
        self._liking = np.zeros((_FIRST_CAPACITY, 3), np.float64)
        self._centring = Centring(dimensions)
        self._popular: NDArray[np.int64] | None = None
        self._liked: NDArray[np.float32] | None = None
        self.filters = Filters(self._rows)
        self.kinship = Kinship()
        self.neighbours = Neighbours()

    def __len__(self) -> int:
        """The number of items that are alive, hidden ones included."""
        return len(self._row_of)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, d), a view; zero rows for items without a vector and for free rows."""
        return self._matrix[: len(self._rows)]

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(n,), a view; true where an item is alive and not hidden."""
        return self._visible[: len(self._rows)]

    @property
    def embedded(self) -> NDArray[np.bool_]:
        """(n,), a view; true where an item has a vector."""
        return self._embedded[: len(self._rows)]

    @property
    def memory_bytes(self) -> int:
        """About what this catalog takes: its arrays, and a measured size per item for the rest."""
        arrays = (self._matrix, self._visible, self._embedded, self._liking)
        return sum(
            a.nbytes for a in (*arrays, self.kinship, self.neighbours)
        ) + _BYTES_PER_ITEM * len(self._row_of)

    def row_of(self, item: str) -> int | None:
        """The row of an item that is alive, or None."""
        return self._row_of.get(item)

    def rows_of(self, items: Iterable[str]) -> list[int]:
        """The rows of those of these items that are alive."""
        return [row for item in items if (row := self._row_of.get(item)) is not None]

    def row(self, row: int) -> Row:
        """The item at a row in use.

        Raises:
            KeyError: nothing is at this row.
        """
        found = self._rows[row]
        if found is None:
            raise KeyError(row)
        return found

    def resolve(self, title: str) -> Resolution | None:
        """As `TitleIndex.resolve`. Remembered until something changes: each title of a batch is
        asked for twice, at first to see which ones need the encoder."""
        if title not in self._resolved:
            if len(self._resolved) == _RESOLVED:
                self._resolved.clear()
            self._resolved[title] = self.titles.resolve(title)
        return self._resolved[title]

    def resolves(self, title: str) -> bool | None:
        """Whether a title resolves, as far as that is known without looking for one like it."""
        if title in self._resolved:
            return self._resolved[title] is not None
        return self.titles.has(title) or None

    def apply(self, items: Sequence[IndexedItem]) -> int:
        """Take over changed items and tombstones; returns how many changed anything.

        What was written before what is known of an item, or is just that, is left out: `seq` says so. (Revisions need
        not grow: a catalog that was restored from a backup counts on from where it was then.)

        Raises:
            ValueError: an item of another catalog, or a vector of another length; nothing is
                applied then.
        """
        for item in items:
            self._check(item)
        with self.lock:
            changed = [self._apply(item) for item in items]
            self._popular = self._liked = None
            self._resolved.clear()
            return sum(changed)

    def cosine_blocks(
        self, queries: NDArray[np.float32], centred: NDArray[np.bool_]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Centred cosines of B unit queries (B, d) with every row, block by block; see `Centring`."""
        return self._centring.cosine_blocks(queries, centred, self.vectors)

    def cosines(
        self,
        queries: NDArray[np.float32],
        centred: NDArray[np.bool_],
        rows: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """The same all at once: (B, n), or (B, m) for m rows."""
        if rows is not None:
            return self._centring.cosines(queries, centred, self.vectors, rows)
        none = np.empty((len(queries), 0), np.float32)
        blocks = self.cosine_blocks(queries, centred)
        return np.concatenate([none, *(block for _, block in blocks)], axis=1)

    def centred(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors (m, d) of rows around the catalog's mean, of unit length or zero."""
        return self._centring.centred(self.vectors[rows], self.vectors)

    def liked(self) -> NDArray[np.float32]:
        """(n,) in [0, 1]: how many like the item at a row, as a logarithm; 1 for the best liked."""
        if self._liked is None:
            people = np.log1p(np.where(self.visible, self._liking[: len(self._rows), 0], 0))
            self._liked = (people / max(people.max(initial=0), 1e-9)).astype(np.float32)
        return self._liked

    def popular_rows(self) -> NDArray[np.int64]:
        """Visible rows, the best liked first: by popularity, then average rating, then newest."""
        if self._popular is None:
            rows = np.flatnonzero(self.visible)
            popularity, rating, year = self._liking[rows].T
            self._popular = rows[np.lexsort((-year, -rating, -popularity))]
        return self._popular

    def _check(self, item: IndexedItem) -> None:
        if item.catalog != self.catalog:
            msg = f"item {item.item!r} belongs to {item.catalog!r}, not {self.catalog!r}"
            raise ValueError(msg)
        if item.vector is not None and item.vector.shape != (self.dimensions,):
            msg = f"the vector of {item.item!r} has the shape {item.vector.shape}"
            raise ValueError(msg)

    def _apply(self, item: IndexedItem) -> bool:
        self.last_seq = max(self.last_seq, item.seq)
        if item.seq <= self._seqs.get(item.item, -1):
            return False
        self._seqs[item.item] = item.seq
        if item.deleted:
            return self._remove(item.item)
        self._put(item)
        return True

    def _put(self, item: IndexedItem) -> None:
        row = self._row_of.get(item.item)
        if row is None:
            row = self._new_row()
            self._row_of[item.item] = row
        known = self._rows[row]
        if known is None or _filtered_by(known.item) != _filtered_by(item):
            self.filters.changed(row)
        found = Row(
            replace(item, vector=None),
            frozenset(item.genres),
            frozenset((*item.directors, *item.cast)),
            item.release_year,
        )
        self._rows[row] = found
        self.kinship.put(row, found)
        if self._visible[row] == item.hidden:
            self.neighbours.forget()
        self._visible[row] = not item.hidden
        rating = -np.inf if item.average_rating is None else item.average_rating
        self._liking[row] = item.popularity, rating, item.release_year or 0
        self._set_vector(row, item.vector)
        if item.hidden:
            self.titles.remove(item.item)
        else:
            self.titles.put(
                item.item,
                item.title,
                (item.original_title, *item.alternate_titles),
                year=item.release_year,
                popularity=item.popularity,
            )

    def _remove(self, item: str) -> bool:
        row = self._row_of.pop(item, None)
        if row is None:
            return False
        self._rows[row] = None
        self.filters.changed(row)
        self._visible[row] = False
        self._set_vector(row, None)
        self.titles.remove(item)
        self._free.append(row)
        return True

    def _set_vector(self, row: int, vector: NDArray[np.float32] | None) -> None:
        length = 0.0 if vector is None else float(np.linalg.norm(vector))
        if not np.isfinite(length):
            # A score that is no number would stand before all others, in the answers of everybody.
            length = 0.0
        unit = np.float32(0) if vector is None or length == 0 else vector / length
        if self._embedded[row]:
            if np.array_equal(self._matrix[row], unit):
                # Only what is known beside the vector has changed: the mean stays, and all that hangs on it.
                return
            self._centring.remove(self._matrix[row])
        self.neighbours.forget()
        self._embedded[row] = length > 0
        self._matrix[row] = unit
        if self._embedded[row]:
            self._centring.add(self._matrix[row])

    def _new_row(self) -> int:
        if self._free:
            return self._free.pop()
        row = len(self._rows)
        if row == len(self._matrix):
            self._matrix = _doubled(self._matrix)
            self._visible = _doubled(self._visible)
            self._embedded = _doubled(self._embedded)
            self._liking = _doubled(self._liking)
        self._rows.append(None)
        return row


def _filtered_by(item: IndexedItem) -> tuple[object, ...]:
    """What of an item can be filtered by: what changes most, its popularity, is not among it."""
    return (
        item.title,
        item.genres,
        item.tags,
        item.release_year,
        item.directors,
        item.cast,
        item.language,
        item.average_rating,
        item.hidden,
        dict(item.labels),
    )


def _doubled(array: NDArray[_Number]) -> NDArray[_Number]:
    return np.concatenate([array, np.zeros_like(array)])
