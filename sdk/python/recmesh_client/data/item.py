"""Items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Item:
    """A thing that can be recommended. No field but id and title is needed; what is filled in makes answers better.

    Attributes:
        id: The caller's: 1 to 128 characters, no slash and no control character.
        title: The title that people in the catalog's main language know.
        original_title: The title in the language that it was made in.
        alternate_titles: Other titles that people may ask by, in any language and script.
        description: What it is about. "Like this" and free-text queries stand on it.
        genres: Kinds, such as "Science Fiction".
        tags: Free key words.
        release_year: Year of first release; None when unknown.
        directors: Who directed, wrote or made it, the leading ones first.
        cast: Who is to be seen or heard in it, the leading ones first.
        language: Main language, as a BCP 47 tag such as "en".
        image_uri: Where a picture of it lies.
        average_rating: On a scale of the caller's; None when unknown.
        hidden: Kept, but never recommended.
        labels: The caller's own facts to filter by.
        revision: The catalog's revision at which it last changed.
        etag: Changes with every change. Sent back in an update, it makes the update fail with `Aborted` when the item
            has changed since.
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
    release_year: int | None = None
    directors: Sequence[str] = ()
    cast: Sequence[str] = ()
    language: str = ""
    image_uri: str = ""
    average_rating: float | None = None
    hidden: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    etag: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item that a search found.

    Attributes:
        item: The item.
        score: How well its best title fits, 0 to 1; 1 is an exact hit.
        matched_title: The title that fits.
    """

    item: Item
    score: float
    matched_title: str


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """A part of an export.

    Attributes:
        items: Items that were made or changed, in the order of revisions.
        deleted_ids: Items that were deleted.
        revision: Everything up to this revision has been sent: where a later export goes on.
    """

    items: tuple[Item, ...]
    deleted_ids: tuple[str, ...]
    revision: int
