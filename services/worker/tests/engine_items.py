"""Items near a few axes, and questions about them, for the tests of the engine."""

from __future__ import annotations

import numpy as np

from recmesh_jobs.items import IndexedItem, Vector
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, EngineQuery, SeedKind
from recmesh_worker.engine.rank import Ranker

D = 16
SPACE, CRIME, LOVE = 0, 1, 2


def toward(axis: int, *, noise: int) -> Vector:
    """A unit vector near an axis; `noise` says how."""
    v = np.random.default_rng(noise).standard_normal(D).astype(np.float32) * 0.15
    v[axis] += 1
    v[D - 1] += 1  # what all items have in common
    return (v / np.linalg.norm(v)).astype(np.float32)


def film(name: str, seq: int, axis: int, **fields: object) -> IndexedItem:
    values: dict[str, object] = {
        "title": name.title(),
        "vector": toward(axis, noise=seq),
        "release_year": 1980 + seq,
        "revision": 1,
    }
    return IndexedItem(
        catalog="films",
        item=name,
        seq=seq,
        **(values | fields),  # type: ignore[arg-type]
    )


def catalog() -> CatalogMemory:
    """Ten films; one is hidden, one has no vector."""
    memory = CatalogMemory("films", D)
    memory.apply(
        [
            film("alien", 1, SPACE, genres=("Horror", "Space"), directors=("Scott",)),
            film("event horizon", 2, SPACE, genres=("Horror", "Space")),
            film("gravity", 3, SPACE, genres=("Space",), popularity=5.0),
            film("solaris", 4, SPACE, hidden=True),
            film("heat", 5, CRIME, genres=("Crime",), cast=("Pacino", "De Niro")),
            film("casino", 6, CRIME, genres=("Crime",), cast=("De Niro",), popularity=9.0),
            film("ronin", 7, CRIME, genres=("Crime",)),
            film("amelie", 8, LOVE, genres=("Romance",)),
            film("before sunrise", 9, LOVE, genres=("Romance",)),
            film("unembedded", 10, LOVE, vector=None, popularity=1.0),
        ]
    )
    return memory


def ask(
    ranker: Ranker, memory: CatalogMemory, kind: SeedKind, seed: object = "", **fields: object
) -> Answer:
    query = EngineQuery(kind=kind, seed=seed, **fields)  # type: ignore[arg-type]
    return ranker.rank([query], memory)[0]


def names(answer: Answer) -> list[str]:
    return [result.item for result in answer.results]
