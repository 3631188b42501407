"""Items."""

from __future__ import annotations

from recmesh.catalog.v1 import catalog_service_pb2, item_pb2
from recmesh_client.convert.basics import child_name, last_id, row_errors, strings, time
from recmesh_client.data.item import FoundItem, Item, ItemChanges
from recmesh_client.data.rows import ImportReport


def from_item(message: item_pb2.Item) -> Item:
    """An item out of an answer."""
    return Item(
        id=last_id(message.name),
        title=message.title,
        original_title=message.original_title,
        alternate_titles=tuple(message.alternate_titles),
        description=message.description,
        genres=tuple(message.genres),
        tags=tuple(message.tags),
        release_year=message.release_year or None,
        directors=tuple(message.directors),
        cast=tuple(message.cast),
        language=message.language,
        image_uri=message.image_uri,
        average_rating=message.average_rating if message.HasField("average_rating") else None,
        hidden=message.hidden,
        labels=dict(message.labels),
        revision=message.revision,
        etag=message.etag,
        create_time=time(message, "create_time"),
        update_time=time(message, "update_time"),
    )


def to_item(item: Item, catalog: str) -> item_pb2.Item:
    """An item of a catalog into a request."""
    return item_pb2.Item(
        name=child_name(catalog, "items", item.id),
        title=item.title,
        original_title=item.original_title,
        alternate_titles=strings(item.alternate_titles),
        description=item.description,
        genres=strings(item.genres),
        tags=strings(item.tags),
        release_year=item.release_year or 0,
        directors=strings(item.directors),
        cast=strings(item.cast),
        language=item.language,
        image_uri=item.image_uri,
        average_rating=item.average_rating,
        hidden=item.hidden,
        labels=item.labels,
        etag=item.etag,
    )


def from_found(message: catalog_service_pb2.SearchResult) -> FoundItem:
    """A search result out of an answer."""
    return FoundItem(from_item(message.item), message.score, message.matched_title)


def from_changes(message: catalog_service_pb2.ExportItemsResponse) -> ItemChanges:
    """A part of an export."""
    return ItemChanges(
        tuple(map(from_item, message.items)),
        tuple(map(last_id, message.deleted_names)),
        message.revision,
    )


def from_report(message: catalog_service_pb2.ImportItemsResponse) -> ImportReport:
    """What an import did."""
    return ImportReport(
        message.created_count,
        message.updated_count,
        message.unchanged_count,
        message.failed_count,
        row_errors(message.errors),
    )
