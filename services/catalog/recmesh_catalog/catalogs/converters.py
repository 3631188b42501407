"""Catalogs as messages, and back."""

from __future__ import annotations

from recmesh.catalog.v1.catalog_pb2 import Catalog as CatalogMessage
from recmesh.catalog.v1.catalog_service_pb2 import UpdateCatalogRequest
from recmesh_catalog.catalogs.catalog import CONTENT, Catalog
from recmesh_catalog.names import catalog_name
from recmesh_catalog.times import to_timestamp

_FIELDS = {"visibility": "public"}
"""Fields that have another name here."""


def to_catalog(catalog: str, message: CatalogMessage) -> Catalog:
    """What a caller says of a catalog. An unset visibility is private."""
    return Catalog(
        id=catalog,
        display_name=message.display_name,
        description=message.description,
        public=message.visibility == CatalogMessage.VISIBILITY_PUBLIC,
    )


def changed_fields(request: UpdateCatalogRequest) -> set[str]:
    """The fields of `Catalog` that an update is about. Its mask has been checked before."""
    paths = set(request.update_mask.paths)
    if "*" in paths:
        return set(CONTENT)
    paths = paths or {field.name for field, _ in request.catalog.ListFields()}
    return {_FIELDS.get(path, path) for path in paths} & set(CONTENT)


def to_message(catalog: Catalog) -> CatalogMessage:
    """A catalog as callers see it."""
    return CatalogMessage(
        name=catalog_name(catalog.id),
        display_name=catalog.display_name,
        description=catalog.description,
        visibility=(
            CatalogMessage.VISIBILITY_PUBLIC
            if catalog.public
            else CatalogMessage.VISIBILITY_PRIVATE
        ),
        revision=catalog.revision,
        create_time=to_timestamp(catalog.create_time),
        update_time=to_timestamp(catalog.update_time),
        item_count=catalog.item_count or 0,
        searchable_item_count=catalog.searchable_item_count or 0,
    )
