"""The method of `CatalogService` that searches."""

# ruff: noqa: N802 - the method has the name of the contract

from __future__ import annotations

from recmesh.catalog.v1 import catalog_service_pb2 as messages
from recmesh_catalog.search import converters
from recmesh_catalog.search.service import SearchService
from recmesh_kit import paging
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.names import ids

DEFAULT_SIZE = 10
MAX_SIZE = 100


class SearchMethods:
    """Convert, call, convert."""

    def __init__(self, search: SearchService) -> None:
        self._search = search

    async def SearchItems(
        self, request: messages.SearchItemsRequest, context: RpcContext
    ) -> messages.SearchItemsResponse:
        """Finds items by title."""
        condition = read(request.filter, ITEMS)
        (catalog,) = ids(request.parent)
        scope = ("SearchItems", request.parent, request.query, request.filter)
        size = paging.page_size(request.page_size, default=DEFAULT_SIZE, most=MAX_SIZE)
        if request.query.strip():
            length = converters.KEY_LENGTH
            cursor = paging.decode(request.page_token, *scope, length=length)
            key = converters.to_key(cursor) if cursor else None
            found, last = await self._search.search(
                caller(), catalog, request.query, condition, key, size
            )
            end = converters.from_key(last) if last else None
        else:
            length = converters.PLACE_LENGTH
            cursor = paging.decode(request.page_token, *scope, length=length)
            place = converters.to_place(cursor) if cursor else None
            found, at = await self._search.best(caller(), catalog, condition, place, size)
            end = converters.from_place(at) if at else None
        return messages.SearchItemsResponse(
            results=[converters.to_result(catalog, one) for one in found],
            next_page_token=paging.encode(end, *scope) if end else "",
        )
