"""Places in a search as page tokens hold them, and what was found as messages."""

from __future__ import annotations

from math import isfinite

from recmesh.catalog.v1.catalog_service_pb2 import SearchResult
from recmesh_catalog.items import converters as items
from recmesh_catalog.search.ranking import Key
from recmesh_catalog.search.service import Found, Place
from recmesh_kit.paging import invalid_token

KEY_LENGTH = 5
PLACE_LENGTH = 3


def to_result(catalog: str, found: Found) -> SearchResult:
    """What was found, as callers see it."""
    item = items.to_message(catalog, found.item)
    return SearchResult(item=item, score=found.score, matched_title=found.title)


def from_key(key: Key) -> list[str]:
    """A hit's key as a page token holds it."""
    kind, score, other_year, rating, item = key
    return [str(kind), repr(score), str(int(other_year)), repr(rating), item]


def to_key(cursor: list[str]) -> Key:
    """The key that a page token holds.

    Raises:
        InvalidArgument: It holds none.
    """
    kind, score, other_year, rating, item = cursor
    if not kind.isdecimal():
        raise invalid_token()
    return int(kind), _number(score), other_year == "1", _number(rating), item


def from_place(place: Place) -> list[str]:
    """A place in the listing by rating as a page token holds it."""
    return [repr(place[0]), place[1], place[2]]


def to_place(cursor: list[str]) -> Place:
    """The place that a page token holds.

    Raises:
        InvalidArgument: It holds none.
    """
    rating, title, item = cursor
    return _number(rating), title, item


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise invalid_token() from None
    if not isfinite(number):
        raise invalid_token()
    return number
