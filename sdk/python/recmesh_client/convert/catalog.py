"""Catalogs."""

from __future__ import annotations

from recmesh.catalog.v1 import catalog_pb2 as pb
from recmesh_client.convert.basics import catalog_name, last_id, time
from recmesh_client.convert.enums import EnumTable
from recmesh_client.data.catalog import Catalog, Visibility

VISIBILITIES = EnumTable(
    Visibility, pb.Catalog.Visibility.items(), "VISIBILITY_", Visibility.UNKNOWN
)


def from_catalog(message: pb.Catalog) -> Catalog:
    """A catalog out of an answer."""
    return Catalog(
        id=last_id(message.name),
        display_name=message.display_name,
        description=message.description,
        visibility=VISIBILITIES.member(message.visibility),
        revision=message.revision,
        item_count=message.item_count,
        searchable_item_count=message.searchable_item_count,
        create_time=time(message, "create_time"),
        update_time=time(message, "update_time"),
    )


def to_catalog(catalog: Catalog) -> pb.Catalog:
    """A catalog into a request."""
    return pb.Catalog(
        name=catalog_name(catalog.id),
        display_name=catalog.display_name,
        description=catalog.description,
        visibility=VISIBILITIES.number(catalog.visibility),
    )
