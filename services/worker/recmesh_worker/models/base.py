"""The protocol that every model follows.

A model is found by an entry point of the group `recmesh.models`: one class, made without
arguments. Ids are rows of the catalog memory, valid while its lock is held.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recmesh_worker.engine.memory import CatalogMemory

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Artifact:
    """What training leaves behind: named arrays and plain settings, never code."""

    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    settings: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a model may learn from."""

    memory: CatalogMemory


@dataclass(frozen=True, slots=True)
class Batch:
    """B seeds over one catalog: what to find neighbours of.

    `vectors` (B, d) float32 unit rows. `centred` (B,) is true where the vector is an item's, and
    false where it is a short text's; see `Centring.cosines`.
    """

    memory: CatalogMemory
    vectors: NDArray[np.float32]
    centred: NDArray[np.bool_]

    def __len__(self) -> int:
        """B."""
        return len(self.vectors)


class Model(Protocol):
    """Learns from a dataset, and answers batches."""

    name: str

    def fit(self, dataset: Dataset) -> Artifact:
        """Learn; the result can be stored and loaded elsewhere."""
        ...

    def load(self, artifact: Artifact) -> None:
        """Serve from this artifact from now on. Raises ValueError for one that does not fit."""
        ...

    def top_k(self, batch: Batch, k: int, mask: Mask) -> tuple[Ids, Scores]:
        """The best `k` of the rows where `mask` is true, for each seed, best first.

        `mask` is (n,) for all seeds, or (B, n).

        Returns ids and scores, both (B, m), m = min(k, n); the id is -1 where there are no more.
        """
        ...


class ScoringModel(Model, Protocol):
    """A model that can also score given rows, for blending."""

    def score(self, batch: Batch, ids: Ids) -> Scores:
        """Scores (B, m) of rows `ids` (B, m)."""
        ...
