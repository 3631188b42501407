"""A catalog, as the service knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

_NEVER = datetime.min.replace(tzinfo=UTC)

CONTENT = ("display_name", "description", "public")
"""The fields that a caller may change."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """A catalog.

    Attributes:
        id: The caller's id.
        display_name: What people call it.
        description: What is in it.
        public: Whether everybody who is signed in may read it.
        revision: That of the last change of an item; 0 if there never was one.
        create_time: When it was made.
        update_time: When it was last changed.
        item_count: How many items the reader can see; None when nobody asked.
        searchable_item_count: How many of them can be recommended by now; None when nobody asked.
    """

    id: str
    display_name: str
    description: str = ""
    public: bool = False
    revision: int = 0
    create_time: datetime = _NEVER
    update_time: datetime = _NEVER
    item_count: int | None = None
    searchable_item_count: int | None = None
