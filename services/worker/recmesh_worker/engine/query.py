"""What the engine is asked, and what it answers. Plain values, no protobuf."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

from recmesh_jobs.history import Event
from recmesh_jobs.items import Vector
from recmesh_kit.filters.tree import Condition
from recmesh_worker.engine.titles import Resolution


class SeedKind(Enum):
    """What a query starts from."""

    TITLE = "title"
    ITEM = "item"
    TEXT = "text"
    HISTORY = "history"
    ITEMS = "items"


class Diversity(IntEnum):
    """How varied an answer is. The numbers are the contract's."""

    NONE = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4


class Fallback(Enum):
    """What was answered instead of what was asked."""

    NONE = "none"
    TEXT = "text"
    """A title that nothing resolves to, answered by items that match its words."""
    POPULAR = "popular"


class ReasonKind(Enum):
    """Why an item is in an answer."""

    SIMILAR = "similar"
    MATCHES_TEXT = "matches_text"
    POPULAR = "popular"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineQuery:
    """One query. `seed` is the title as typed, the item's id, or the text; `items` are the ids of a basket.

    `vector` is the text's, of unit length; for a title it is used only when the title does not
    resolve (see `titles_to_encode`). Without it, texts and unknown titles are answered by popular
    items. `limit` is 1 or more, `exclude` holds item ids.

    `history` is what the person did, the newest first: the seed of HISTORY, and what they have seen for all, which is
    not answered unless `include_seen`. `filter` says which items may be answered; unless `strict_filter`, it is
    relaxed when it leaves too few. `diversity` None is left to the engine: NONE, and MEDIUM for someone new.
    """

    kind: SeedKind
    seed: str = ""
    items: tuple[str, ...] = ()
    vector: Vector | None = None
    limit: int = 10
    exclude: frozenset[str] = frozenset()
    history: tuple[Event, ...] = ()
    include_seen: bool = False
    filter: Condition | None = None
    strict_filter: bool = False
    diversity: Diversity | None = None


class Reason(NamedTuple):
    """Why an item is in the answer; `item`, `title` and what is shared only for SIMILAR."""

    kind: ReasonKind
    item: str = ""
    title: str = ""
    genres: tuple[str, ...] = ()
    directors: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()


class Result(NamedTuple):
    """An item, its score in [0, 1] and why it is there (nothing is said that is not so).

    The score of a similar item is its centred cosine plus what it shares with the seed, of one
    that matches a text its centred cosine, of one that is like several seeds what `tastes` says,
    all cut to [0, 1]; of a popular item the share of the catalog's visible items that are not more
    popular, or 0 where popular items only fill up a list. Scores of different kinds do not compare.
    `reasons` has the strongest first, at most three.
    """

    item: str
    title: str
    score: float
    reasons: tuple[Reason, ...]


class Answer(NamedTuple):
    """The answer to one query, best first; fewer than asked for when the catalog has no more.

    With diversity, the order is that of `diversify`, and the scores do not fall all the way.
    `resolved` is the item that was asked about, for titles and items that are known.
    `confidence` in [0, 1] is how sure it is that the query was understood: that of the title, 1
    for a known item, the share that is known of several, calibrated from the best match for a text,
    `history.known` for a history, 0 when nothing is known.
    `filter_relaxed`: the filter left too few, and the last ones do not match it.
    """

    results: tuple[Result, ...]
    resolved: Resolution | None
    confidence: float
    fallback: Fallback
    model: str
    filter_relaxed: bool = False
