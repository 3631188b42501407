"""The film catalog as items."""

from __future__ import annotations

import json
from pathlib import Path

from recmesh.catalog.v1.item_pb2 import Item

PATH = Path(__file__).with_name("films.jsonl")
CATALOG = "films"


def films(catalog: str = CATALOG) -> list[Item]:
    """All films, named for a catalog."""
    with PATH.open(encoding="utf-8") as lines:
        return [_item(json.loads(line), catalog) for line in lines]


def _item(film: dict[str, object], catalog: str) -> Item:
    fields = dict(film)
    countries = fields.pop("countries")
    assert isinstance(countries, list)
    item = Item(name=f"catalogs/{catalog}/items/{fields.pop('id')}", **fields)  # type: ignore[arg-type]
    item.labels["countries"] = ", ".join(countries)
    return item
