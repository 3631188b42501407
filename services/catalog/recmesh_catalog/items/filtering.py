"""How items are filtered: by their texts without regard to case, which are stored beside the texts themselves."""

from __future__ import annotations

from typing import Any

from recmesh_catalog.items.item import Item
from recmesh_catalog.models import items
from recmesh_kit.filters.schema import ITEMS, Kind, fold

_FOLDED = {
    name: f"{name}_folded"
    for name, field in ITEMS.fields.items()
    if field.kind in (Kind.TEXT, Kind.TEXTS, Kind.LABELS)
}

FOLDED = tuple(_FOLDED.values())
"""The columns of folded texts."""

COLUMNS = {name: items.c[_FOLDED.get(name, name)] for name in ITEMS.fields}
"""Field -> the column that a filter on it looks at."""


def folded(item: Item) -> dict[str, Any]:
    """What the columns of folded texts hold for an item."""
    return {column: _fold(getattr(item, name)) for name, column in _FOLDED.items()}


def _fold(value: Any) -> Any:
    """A text, a list of texts or a map's values, folded."""
    if isinstance(value, str):
        return fold(value)
    if isinstance(value, dict):
        return {key: fold(text) for key, text in value.items()}
    return [fold(text) for text in value]
