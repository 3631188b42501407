"""How interactions are filtered."""

from __future__ import annotations

from recmesh_catalog.interactions.interaction import Type
from recmesh_catalog.models import interactions
from recmesh_catalog.names import item_name
from recmesh_kit.filters.schema import Field, Kind, Schema

COLUMNS = {
    "user": interactions.c.user,
    "item": interactions.c.item,
    "type": interactions.c.type,
    "value": interactions.c.value,
    "event_time": interactions.c.event_time,
    "session": interactions.c.session.collate("C"),
}
"""Field -> the column that a filter on it looks at."""

_TYPES = {f"TYPE_{kind.name}": kind.value for kind in Type}


def schema(catalog: str) -> Schema:
    """What the interactions of a catalog can be filtered by."""
    return Schema(
        {
            "user": Field(Kind.ID),
            "item": Field(Kind.ID, prefix=item_name(catalog, "")),
            "type": Field(Kind.ENUM, names=_TYPES),
            "value": Field(Kind.NUMBER),
            "event_time": Field(Kind.TIME),
            "session": Field(Kind.ID),
        }
    )
