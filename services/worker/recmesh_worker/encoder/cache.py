"""The vectors of the texts that were asked for last."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class VectorCache:
    """Vectors by text, letter for letter: what of it makes no difference depends on the model. For one thread.

    Args:
        most: How many are kept; the one that was used longest ago goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def get(self, text: str) -> Vector | None:
        """The vector of a text, if it is kept."""
        found = self._vectors.get(text)
        if found is not None:
            self._vectors.move_to_end(text)
        return found

    def put(self, text: str, vector: Vector) -> None:
        """Keeps a copy of a vector."""
        kept = vector.copy()
        kept.flags.writeable = False
        self._vectors[text] = kept
        self._vectors.move_to_end(text)
        if len(self._vectors) > self._most:
            self._vectors.popitem(last=False)
