"""Centred cosines: vectors are compared after the catalog's mean is subtracted.

Sentence vectors of one catalog share a large common part ("this is a film"). Without it the
differences count, and neighbours agree more often with what people like together.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_SHRINK = 10
"""The mean counts as if so many zero vectors belonged to it: with a handful of items their mean
is mostly the items themselves, and subtracting it would leave nothing or opposites."""

_AT_THE_MEAN = 1e-3

_BLOCK = 1 << 19  # cosines at once: two megabytes
_LEAST_ROWS = 2_048
_LANES = 4
"""Queries are filled up to a multiple of this: OpenBLAS takes 7 ms for four and 11 ms for three
(62,000 rows)."""


class Centring:
    """The running mean of unit vectors, and cosines around it.

    No centred copy of the matrix is kept: cos(q', x - m) = (q'x - q'm) / |x - m|, so that one
    matrix product and one factor a row do, and a changed mean costs one pass over the matrix.
    """

    def __init__(self, dimensions: int) -> None:
        self._sum = np.zeros(dimensions, np.float64)
        self._count = 0
        self._mean = np.zeros(dimensions, np.float32)
        self._factors: NDArray[np.float32] | None = None

    def add(self, vector: NDArray[np.float32]) -> None:
        """Let a unit vector (d,) count."""
        self._change(vector, 1)

    def remove(self, vector: NDArray[np.float32]) -> None:
        """Take a vector (d,) out that was added."""
        self._change(vector, -1)

    def cosine_blocks(
        self,
        queries: NDArray[np.float32],
        centred: NDArray[np.bool_],
        vectors: NDArray[np.float32],
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Cosines of queries (B, d) with the rows of `vectors` (n, d) around the mean, in blocks.

        Each block is the number of its first row and the cosines (B, m); it is the caller's, to be
        written to. Together they are (B, n): a block stays in the processor's cache while it is
        looked through, the whole would not.

        Items' vectors are centred as queries too; those of short texts are not (`centred` (B,)
        says which are): they do not share the common part, and measure worse without what they
        have of it. Rows without a vector, or at the mean, have the cosine 0.
        """
        factors = self._refreshed(vectors)
        moved = self._moved(queries, centred)
        count = len(moved)
        if count > 1 and count % _LANES:
            moved = np.concatenate([moved, np.zeros((-count % _LANES, moved.shape[1]), np.float32)])
        shift = (moved @ self._mean)[:, None]
        size = max(_LEAST_ROWS, _BLOCK // max(len(moved), 1))
        for first in range(0, len(vectors), size):
            block: NDArray[np.float32] = moved @ vectors[first : first + size].T
            block -= shift
            block *= factors[first : first + size]
            yield first, block[:count]

    def cosines(
        self,
        queries: NDArray[np.float32],
        centred: NDArray[np.bool_],
        vectors: NDArray[np.float32],
        rows: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """The same cosines (B, m) with m of the rows only: for few, a small part of the work."""
        factors = self._refreshed(vectors)[rows]
        moved = self._moved(queries, centred)
        found: NDArray[np.float32] = moved @ vectors[rows].T
        found -= (moved @ self._mean)[:, None]
        found *= factors
        return found

    def centred(
        self, some: NDArray[np.float32], vectors: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Vectors (m, d) around the mean of `vectors` (n, d), of unit length.

        Zero where there is no vector, or where it is at the mean: its cosine with all is 0.
        """
        self._refreshed(vectors)
        there = np.einsum("nd,nd->n", some, some) > 0
        moved = np.asarray(some - self._mean, np.float32)
        lengths = np.linalg.norm(moved, axis=1)
        usable = there & (lengths > _AT_THE_MEAN)
        factors = np.where(usable, 1 / np.maximum(lengths, _AT_THE_MEAN), 0).astype(np.float32)
        moved *= factors[:, None]
        return moved

    def _moved(
        self, queries: NDArray[np.float32], centred: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        moved = np.asarray(queries - centred[:, None] * self._mean, np.float32)
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _AT_THE_MEAN)
        return moved

    def _change(self, vector: NDArray[np.float32], count: int) -> None:
        self._sum += count * vector
        self._count += count
        self._factors = None

    def _refreshed(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """1 / |x - m| for each row, 0 for rows without a vector; the mean is brought up to date."""
        if self._factors is None or len(self._factors) != len(vectors):
            self._mean = (self._sum / (self._count + _SHRINK)).astype(np.float32)
            squares = np.einsum("nd,nd->n", vectors, vectors)
            lengths = np.sqrt(
                np.maximum(squares - 2 * (vectors @ self._mean) + self._mean @ self._mean, 0)
            )
            usable = (squares > 0) & (lengths > _AT_THE_MEAN)
            factors = np.where(usable, 1 / np.maximum(lengths, _AT_THE_MEAN), 0)
            self._factors = factors.astype(np.float32)
        return self._factors
