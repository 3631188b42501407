"""Rows of any table into items and interactions, as a mapping says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from recmesh_cli.formats import values
from recmesh_cli.formats.mapping import ColumnMapping
from recmesh_cli.formats.rows import Record, Unfit
from recmesh_client import Interaction, Item

T = TypeVar("T")
MOST_CHARACTERS = 1_000_000
"""Of an item: more may be more than one message can hold."""
_LISTS = {"alternate_titles": 64, "genres": 32, "tags": 128, "directors": 32, "cast": 64}
"""Fields that are lists, and how many entries of them are taken: as many as the contract allows."""


def item(record: Record, mapping: ColumnMapping) -> tuple[Item, int]:
    """The item of a row, and its size. Without an id it gets one of title and year. Raises Unfit."""
    get = _Getter(record, mapping)
    title = get("title", values.text)
    if not title:
        raise Unfit("is missing", "title")
    year = get("release_year", values.year)
    made = Item(
        id=get("id", values.item_id) or values.slug(title, year),
        title=title,
        original_title=get("original_title", values.text),
        alternate_titles=get.list("alternate_titles"),
        description=get("description", values.text),
        genres=get.list("genres"),
        tags=get.list("tags"),
        release_year=year,
        directors=get.list("directors"),
        cast=get.list("cast"),
        language=get("language", values.text),
        image_uri=get("image_uri", values.text),
        average_rating=get("average_rating", values.number),
        hidden=get("hidden", values.truth),
        labels=get.labels(),
    )
    return made, checked(made)


def checked(made: Item) -> int:
    """The size of an item. Raises Unfit for one that is too large to be sent."""
    size = values.size(getattr(made, name) for name in Item.__slots__)
    if size > MOST_CHARACTERS:
        raise Unfit(f"has {size} characters, and no more than {MOST_CHARACTERS} can be sent")
    return size


def interaction(record: Record, mapping: ColumnMapping) -> tuple[Interaction, int]:
    """The interaction of a row, and its size. Raises Unfit."""
    get = _Getter(record, mapping)
    user, item_id = get("user", values.text), get("item", values.item_id)
    for name, value in (("user", user), ("item", item_id)):
        if not value:
            raise Unfit("is missing", name)
    kind = get("type", values.interaction_type)
    when = get("event_time", values.moment)
    made = Interaction(
        item_id,
        kind,
        user=user,
        value=get("value", values.number),
        event_time=when,
        session=get("session", values.text),
        id=get("id", values.item_id) or values.interaction_id(user, item_id, kind, when),
    )
    size = len(user) + len(made.session)
    if size > MOST_CHARACTERS:
        raise Unfit(f"has {size} characters, and no more than {MOST_CHARACTERS} can be sent")
    return made, size


class _Getter:
    """Takes the values of fields out of a row. All that is called raises Unfit, with the field."""

    def __init__(self, record: Record, mapping: ColumnMapping) -> None:
        self._values = record.values
        self._mapping = mapping

    def __call__(self, name: str, convert: Callable[[Any], T]) -> T:
        column = self._mapping.column(name)
        value = None if column is None else self._values.get(column.name)
        return self._converted(name, value, convert)

    def list(self, name: str) -> tuple[str, ...]:
        """A field that is a list."""
        column = self._mapping.column(name)
        separator = "|" if column is None else column.separator
        return self(name, lambda value: values.texts(value, separator, _LISTS[name]))

    def labels(self) -> dict[str, str]:
        """The labels."""
        constants = {
            name.removeprefix("labels."): value
            for name, value in self._mapping.constants.items()
            if name.startswith("labels.")
        }
        found = {
            key: self._converted(f"labels.{key}", self._values.get(column.name), _label)
            for key, column in self._mapping.labels(self._values)
        }
        return {key: value for key, value in {**constants, **found}.items() if value}

    def _converted(self, name: str, value: Any, convert: Callable[[Any], T]) -> T:
        if values.missing(value):
            value = self._mapping.constants.get(name)
        try:
            return convert(value)
        except Unfit as unfit:
            raise Unfit(unfit.message, name) from None


def _label(value: Any) -> str:
    return ", ".join(values.texts(value)) if isinstance(value, list) else values.text(value)
