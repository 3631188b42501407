"""The nearest rows of items that were asked about: the same few are asked about again and again."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

REACH = 100
"""Rows that are kept of an item: enough for a query of ten by somebody who has seen forty of them."""

_ITEMS = 4_096
_BYTES = REACH * 16  # of an item: a row and a score each


class Neighbours:
    """The nearest visible rows of items, at most `REACH` each, kept while no vector and nothing visible changes.

    Not thread-safe: it belongs to a `CatalogMemory`, whose lock covers it.
    """

    def __init__(self) -> None:
        self._near: OrderedDict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """About what they take."""
        return len(self._near) * _BYTES

    def __contains__(self, row: int | None) -> bool:
        """Whether those of an item are known."""
        return row in self._near

    def get(self, row: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """Rows and scores, the best first, fewer than `REACH` only when there are no more; None when not known."""
        if row is None or row not in self._near:
            return None
        self._near.move_to_end(row)
        return self._near[row]

    def put(self, row: int, rows: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Keep those of an item; the one that was not asked about for longest goes when there are too many."""
        self._near[row] = rows.copy(), scores.copy()
        if len(self._near) > _ITEMS:
            self._near.popitem(last=False)

    def forget(self) -> None:
        """Let all of them be searched for again."""
        self._near.clear()
