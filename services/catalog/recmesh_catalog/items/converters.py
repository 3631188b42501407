"""Items as messages, and back."""

from __future__ import annotations

from collections.abc import Sequence

from recmesh.catalog.v1.catalog_service_pb2 import BatchCreateItemsRequest, UpdateItemRequest
from recmesh.catalog.v1.item_pb2 import Item as ItemMessage
from recmesh_catalog.items.item import CONTENT, Item
from recmesh_catalog.names import catalog_name, item_name
from recmesh_catalog.times import to_timestamp
from recmesh_kit.errors import InvalidArgument, Violation
from recmesh_kit.names import ids


def to_item(item: str, message: ItemMessage) -> Item:
    """What a caller says of the item with this id."""
    return Item(
        id=item,
        title=message.title,
        original_title=message.original_title,
        alternate_titles=list(message.alternate_titles),
        description=message.description,
        genres=list(message.genres),
        tags=list(message.tags),
        release_year=message.release_year,
        directors=list(message.directors),
        cast=list(message.cast),
        language=message.language,
        image_uri=message.image_uri,
        average_rating=message.average_rating if message.HasField("average_rating") else None,
        hidden=message.hidden,
        labels=dict(message.labels),
    )


def to_items(request: BatchCreateItemsRequest) -> list[Item]:
    """The items of a batch.

    Raises:
        InvalidArgument: An id comes twice.
    """
    seen: set[str] = set()
    for index, single in enumerate(request.requests):
        if single.item_id in seen:
            raise InvalidArgument(
                [Violation(f"requests[{index}].item_id", "comes twice in this batch")]
            )
        seen.add(single.item_id)
    return [to_item(single.item_id, single.item) for single in request.requests]


def to_ids(catalog: str, names: Sequence[str]) -> list[str]:
    """The ids of items of one catalog.

    Raises:
        InvalidArgument: A name is of another catalog.
    """
    pairs = [ids(name) for name in names]
    strangers = [
        Violation(f"names[{index}]", f"must be in {catalog_name(catalog)}")
        for index, (other, _) in enumerate(pairs)
        if other != catalog
    ]
    if strangers:
        raise InvalidArgument(strangers)
    return [item for _, item in pairs]


def changed_fields(request: UpdateItemRequest) -> set[str]:
    """The fields of `Item` that an update is about.

    Raises:
        InvalidArgument: The mask names the etag; other paths have been checked before.
    """
    paths = set(request.update_mask.paths)
    if "etag" in paths:
        raise InvalidArgument([Violation("update_mask", "'etag' cannot be changed")])
    if "*" in paths:
        return set(CONTENT)
    paths = paths or {field.name for field, _ in request.item.ListFields()}
    return paths & set(CONTENT)


def to_message(catalog: str, item: Item) -> ItemMessage:
    """An item as callers see it."""
    return ItemMessage(
        name=item_name(catalog, item.id),
        title=item.title,
        original_title=item.original_title,
        alternate_titles=item.alternate_titles,
        description=item.description,
        genres=item.genres,
        tags=item.tags,
        release_year=item.release_year,
        directors=item.directors,
        cast=item.cast,
        language=item.language,
        image_uri=item.image_uri,
        average_rating=item.average_rating,
        hidden=item.hidden,
        labels=item.labels,
        revision=item.revision,
        etag=item.etag,
        create_time=to_timestamp(item.create_time),
        update_time=to_timestamp(item.update_time),
    )
