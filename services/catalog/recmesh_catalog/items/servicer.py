"""The methods of `CatalogService` that are about items."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from recmesh.catalog.v1 import catalog_service_pb2 as messages
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_catalog.items import converters
from recmesh_catalog.items.service import ItemService
from recmesh_kit import paging
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.names import ids


class ItemMethods:
    """Convert, call, convert."""

    def __init__(self, items: ItemService) -> None:
        self._items = items

    async def CreateItem(self, request: messages.CreateItemRequest, context: RpcContext) -> Item:
        """Makes an item."""
        (catalog,) = ids(request.parent)
        item = converters.to_item(request.item_id, request.item)
        (created,) = await self._items.create(catalog, [item])
        return converters.to_message(catalog, created)

    async def BatchCreateItems(
        self, request: messages.BatchCreateItemsRequest, context: RpcContext
    ) -> messages.BatchCreateItemsResponse:
        """Makes several items."""
        (catalog,) = ids(request.parent)
        created = await self._items.create(catalog, converters.to_items(request))
        return messages.BatchCreateItemsResponse(
            items=[converters.to_message(catalog, item) for item in created]
        )

    async def GetItem(self, request: messages.GetItemRequest, context: RpcContext) -> Item:
        """Reads an item."""
        catalog, item = ids(request.name)
        (found,) = await self._items.get(caller(), catalog, [item])
        return converters.to_message(catalog, found)

    async def BatchGetItems(
        self, request: messages.BatchGetItemsRequest, context: RpcContext
    ) -> messages.BatchGetItemsResponse:
        """Reads several items."""
        (catalog,) = ids(request.parent)
        found = await self._items.get(
            caller(),
            catalog,
            converters.to_ids(catalog, request.names),
            allow_missing=request.allow_missing,
        )
        return messages.BatchGetItemsResponse(
            items=[converters.to_message(catalog, item) for item in found]
        )

    async def ListItems(
        self, request: messages.ListItemsRequest, context: RpcContext
    ) -> messages.ListItemsResponse:
        """Lists items."""
        (catalog,) = ids(request.parent)
        scope = ("ListItems", request.parent, request.filter)
        after = paging.decode(request.page_token, *scope)
        page, end = await self._items.page(
            caller(),
            catalog,
            after[0] if after else None,
            paging.page_size(request.page_size),
            read(request.filter, ITEMS),
        )
        return messages.ListItemsResponse(
            items=[converters.to_message(catalog, item) for item in page],
            next_page_token=paging.encode([end], *scope) if end is not None else "",
        )

    async def UpdateItem(self, request: messages.UpdateItemRequest, context: RpcContext) -> Item:
        """Changes an item."""
        catalog, item = ids(request.item.name)
        updated = await self._items.update(
            catalog,
            converters.to_item(item, request.item),
            converters.changed_fields(request),
            etag=request.item.etag,
            allow_missing=request.allow_missing,
        )
        return converters.to_message(catalog, updated)

    async def DeleteItem(self, request: messages.DeleteItemRequest, context: RpcContext) -> Empty:
        """Deletes an item."""
        catalog, item = ids(request.name)
        await self._items.delete(
            catalog, item, etag=request.etag, allow_missing=request.allow_missing
        )
        return Empty()
