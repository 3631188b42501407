"""What is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto
from typing import TypedDict


class Diversity(StrEnum):
    """How varied results are."""

    UNKNOWN = auto()
    DEFAULT = auto()
    """As the serving config says."""
    NONE = auto()
    LOW = auto()
    MEDIUM = auto()
    HIGH = auto()


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. Exactly one of `title`, `item`, `text`, `history` and `items` is set: the seed. What it names is
    never among the results.

    Attributes:
        title: A title as a person writes it: misspelt, in any case and language.
        item: The id of an item.
        text: What it should be about, in words.
        history: True: what the user did lately.
        items: Ids of 1 to 100 items: a basket or a visit.
        limit: How many results, 1 to 200; 0 for the default of 10.
        filter: Which items may be among the results, such as `release_year >= 1980` (AIP-160).
        strict_filter: Rather too few results than one that the filter excludes.
        exclude_items: Ids of items that must not be among the results.
        include_seen: Items that the user has seen may be among the results.
        diversity: How varied the results are.
        serving_config: Id of the serving config that answers; empty for the catalog's `default`.
    """

    title: str | None = None
    item: str | None = None
    text: str | None = None
    history: bool = False
    items: Sequence[str] | None = None
    limit: int = 0
    filter: str = ""
    strict_filter: bool = False
    exclude_items: Sequence[str] = ()
    include_seen: bool = False
    diversity: Diversity = Diversity.DEFAULT
    serving_config: str = ""


class QueryFields(TypedDict, total=False):
    """The fields of a `Query`, as keyword arguments."""

    title: str | None
    item: str | None
    text: str | None
    history: bool
    items: Sequence[str] | None
    limit: int
    filter: str
    strict_filter: bool
    exclude_items: Sequence[str]
    include_seen: bool
    diversity: Diversity
    serving_config: str


@dataclass(frozen=True, slots=True)
class Order:
    """A row of `batch_create_recommendations`.

    Attributes:
        query: What is asked.
        user: For whom: an opaque id. Empty: the caller.
        session: The visit that it belongs to: an opaque id.
        deadline: From when on the job is not worth starting, or how long from now; None for 24 hours.
        request_id: Makes a repeat harmless; empty for one that the client makes.
    """

    query: Query
    user: str = ""
    session: str = ""
    deadline: datetime | timedelta | None = None
    request_id: str = ""
