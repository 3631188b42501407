"""What the engine is asked, and what it answers. Plain values, no protobuf."""

from dataclasses import dataclass
from enum import Enum

from recmesh_jobs.items import Vector
from recmesh_worker.engine.titles import Resolution


class SeedKind(Enum):
    """What a query starts from."""

    TITLE = "title"
    ITEM = "item"
    TEXT = "text"


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
    """One query. `seed` is the title as typed, the item's id, or the text.

    `vector` is the text's, of unit length; for a title it is used only when the title does not
    resolve (see `titles_to_encode`). Without it, texts and unknown titles are answered by popular
    items. `limit` is 1 or more, `exclude` holds item ids.
    """

    kind: SeedKind
    seed: str
    vector: Vector | None = None
    limit: int = 10
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an item is in the answer; `item`, `title` and what is shared only for SIMILAR."""

    kind: ReasonKind
    item: str = ""
    title: str = ""
    genres: tuple[str, ...] = ()
    directors: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """An item, its score in [0, 1] and why it is there (nothing is said that is not so).

    The score of a similar item is its centred cosine plus what it shares with the seed, of one
    that matches a text its centred cosine, both cut to [0, 1]; of a popular item the share of
    the catalog's visible items that are not more popular, or 0 where popular items only fill up a
    list. Scores of different kinds do not compare.
    """

    item: str
    title: str
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one query, best first; fewer than asked for when the catalog has no more.

    `resolved` is the item that was asked about, for titles and items that are known.
    `confidence` in [0, 1] is how sure it is that the query was understood: that of the title, 1
    for a known item, calibrated from the best match for a text, 0 when popular items stand in.
    """

    results: tuple[Result, ...]
    resolved: Resolution | None
    confidence: float
    fallback: Fallback
    model: str
