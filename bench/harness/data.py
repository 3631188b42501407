"""The items that all systems recommend: made up, the same each time, in files for those who are not told of them
otherwise."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ITEMS = 10_000
DIMENSIONS = 384
_CLUSTERS = 200
_SPREAD = 1.5
"""How far items are from the middle of their cluster, as a multiple of how far that is from the middle of all."""
_WORDS = (
    "amber anchor arrow ash autumn bay bell birch bridge brook candle canyon cedar cliff cloud coast copper crane "
    "delta drift dune dusk echo ember falcon fern field fire flint fog forest fox garden glass grove harbour hawk "
    "heath hill hollow island ivory jade juniper key lake lantern lark leaf lily marsh meadow mill mirror mist moon "
    "night north oak orchard otter owl path pearl pine quarry rain raven reed ridge river road rose sable shore"
)


@dataclass(frozen=True)
class Data:
    """Items and their vectors.

    Attributes:
        folder: With `vectors.npy`, `items.json` (`{"id", "title"}` each) and `ids.json` (those that are asked for).
        ids: Of the items.
        titles: Of the items.
        vectors: (n, d), unit length.
    """

    folder: Path
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    vectors: NDArray[np.float32]

    @property
    def asked(self) -> Path:
        """A file with the ids to ask for, in the order of asking."""
        return self.folder / "ids.json"


def make(folder: Path, items: int = ITEMS) -> Data:
    """The data, written into a folder."""
    chance = random.Random(11)  # noqa: S311 - the same items each time
    words = _WORDS.split()
    ids = tuple(f"item-{number}" for number in range(items))
    titles = tuple(
        f"{' '.join(chance.sample(words, chance.randint(2, 4))).capitalize()} {number}"
        for number in range(items)
    )
    data = Data(folder, ids, titles, _vectors(items))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "vectors.npy", data.vectors)
    rows = [{"id": item, "title": title} for item, title in zip(ids, titles, strict=True)]
    (folder / "items.json").write_text(json.dumps(rows))
    data.asked.write_text(json.dumps(chance.sample(ids, items)))
    return data


def _vectors(items: int) -> NDArray[np.float32]:
    chance = np.random.default_rng(11)
    middles = chance.standard_normal((_CLUSTERS, DIMENSIONS), np.float32)
    noise = chance.standard_normal((items, DIMENSIONS), np.float32)
    vectors: NDArray[np.float32] = middles[chance.integers(_CLUSTERS, size=items)] + _SPREAD * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
