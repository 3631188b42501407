"""An item as the recommender's read model hands it to a worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""A float32 array of shape (d,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexedItem:
    """One row of `item_index`. A deleted item is a tombstone: only its keys and numbers count.

    `item` is the caller's id within `catalog`. `revision` grows with each change of the item in
    the catalog, `seq` with each write of the read model in this catalog. `average_rating` is on
    the caller's scale, `popularity` is 0 or more. `vector` has unit length, or is None when the
    item is not embedded.
    """

    catalog: str
    item: str
    revision: int
    seq: int
    deleted: bool = False
    title: str = ""
    original_title: str = ""
    alternate_titles: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    directors: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()
    release_year: int | None = None
    language: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    hidden: bool = False
    average_rating: float | None = None
    popularity: float = 0.0
    vector: Vector | None = None
