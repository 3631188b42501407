"""The items in memory, and those nearest to a given one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict


class Ranked(TypedDict):
    """One of the best items."""

    item: str
    title: str
    score: float


class Ranking:
    """All items of a folder with `vectors.npy`, (n, d) float32 of unit length, and `items.json`."""

    def __init__(self, folder: Path) -> None:
        self._vectors: NDArray[np.float32] = np.load(folder / "vectors.npy")
        rows = json.loads((folder / "items.json").read_text())
        self._ids: list[str] = [row["id"] for row in rows]
        self._titles: list[str] = [row["title"] for row in rows]
        self._places = {item: place for place, item in enumerate(self._ids)}

    def top(self, item: str, limit: int) -> list[Ranked]:
        """The nearest by dot product, best first, without the item itself. Raises KeyError when it is unknown."""
        place = self._places[item]
        scores = self._vectors @ self._vectors[place]
        scores[place] = -np.inf
        best = np.argpartition(scores, -limit)[-limit:]
        best = best[np.argsort(-scores[best])]
        return [
            {"item": self._ids[at], "title": self._titles[at], "score": score}
            for at, score in zip(best.tolist(), scores[best].tolist(), strict=True)
        ]
