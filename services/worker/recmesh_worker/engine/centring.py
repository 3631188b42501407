"""Centred cosines: vectors are compared after the catalog's mean is subtracted.

Sentence vectors of one catalog share a large common part ("this is a film"). Without it the
differences count, and neighbours agree more often with what people like together.
"""

import numpy as np
from numpy.typing import NDArray

_SHRINK = 10
"""The mean counts as if so many zero vectors belonged to it: with a handful of items their mean
is mostly the items themselves, and subtracting it would leave nothing or opposites."""

_AT_THE_MEAN = 1e-3


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

    def cosines(
        self,
        queries: NDArray[np.float32],
        centred: NDArray[np.bool_],
        vectors: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Cosines (B, n) of queries (B, d) with the rows of `vectors` (n, d) around the mean.

        Items' vectors are centred as queries too; those of short texts are not (`centred` (B,)
        says which are): they do not share the common part, and measure worse without what they
        have of it. Rows without a vector, or at the mean, have the cosine 0.
        """
        factors = self._refreshed(vectors)
        moved = np.asarray(queries - centred[:, None] * self._mean, np.float32)
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), _AT_THE_MEAN)
        scores: NDArray[np.float32] = moved @ vectors.T
        scores -= (moved @ self._mean)[:, None]
        scores *= factors
        return scores

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
