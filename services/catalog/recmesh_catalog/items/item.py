"""An item, as the service knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

_NEVER = datetime.min.replace(tzinfo=UTC)

CONTENT = (
    "title",
    "original_title",
    "alternate_titles",
    "description",
    "genres",
    "tags",
    "release_year",
    "directors",
    "cast",
    "language",
    "image_uri",
    "average_rating",
    "hidden",
    "labels",
)
"""The fields that a caller may change."""


@dataclass(frozen=True, slots=True)
class Item:
    """A thing that can be recommended. The fields mean what the contract says of them.

    Attributes:
        id: The caller's id, unique in its catalog.
        revision: The catalog's revision at which it last changed.
        create_time: When it was made.
        update_time: When it was last changed.
    """

    id: str
    title: str = ""
    original_title: str = ""
    alternate_titles: Sequence[str] = ()
    description: str = ""
    genres: Sequence[str] = ()
    tags: Sequence[str] = ()
    release_year: int = 0
    directors: Sequence[str] = ()
    cast: Sequence[str] = ()
    language: str = ""
    image_uri: str = ""
    average_rating: float | None = None
    hidden: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    create_time: datetime = _NEVER
    update_time: datetime = _NEVER

    @property
    def etag(self) -> str:
        """Changes with every change of the item."""
        return str(self.revision)


@dataclass(frozen=True, slots=True)
class Written:
    """What a write made of an item that was new or said something new.

    Attributes:
        id: The item's id.
        revision: The revision that it got.
        create_time: When it was made.
        update_time: When it was written.
        created: Whether it was not there before.
    """

    id: str
    revision: int
    create_time: datetime
    update_time: datetime
    created: bool


@dataclass(frozen=True, slots=True)
class ItemChange:
    """That an item changed.

    Attributes:
        id: The item's id.
        revision: The catalog's revision at which it did.
        deleted: Whether it is gone.
    """

    id: str
    revision: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """An item at its last change.

    Attributes:
        item: The item; of one that is gone only the id, the revision and the times.
        deleted: Whether it is gone.
    """

    item: Item
    deleted: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Some changes.

    Attributes:
        changes: In the order of revisions.
        revision: Every change up to this revision is among these or the ones before.
    """

    changes: Sequence[Change]
    revision: int
