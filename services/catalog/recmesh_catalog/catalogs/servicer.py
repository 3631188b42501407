"""The methods of `CatalogService` that are about catalogs."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from recmesh.catalog.v1 import catalog_service_pb2 as messages
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh_catalog.catalogs import converters
from recmesh_catalog.catalogs.service import CatalogService
from recmesh_kit import paging
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.names import ids


class CatalogMethods:
    """Convert, call, convert."""

    def __init__(self, catalogs: CatalogService) -> None:
        self._catalogs = catalogs

    async def CreateCatalog(
        self, request: messages.CreateCatalogRequest, context: RpcContext
    ) -> Catalog:
        """Makes a catalog."""
        catalog = converters.to_catalog(request.catalog_id, request.catalog)
        return converters.to_message(await self._catalogs.create(catalog))

    async def GetCatalog(self, request: messages.GetCatalogRequest, context: RpcContext) -> Catalog:
        """Reads a catalog."""
        (catalog,) = ids(request.name)
        return converters.to_message(await self._catalogs.get(caller(), catalog))

    async def ListCatalogs(
        self, request: messages.ListCatalogsRequest, context: RpcContext
    ) -> messages.ListCatalogsResponse:
        """Lists the catalogs that the caller may read."""
        scope = ("ListCatalogs",)
        after = paging.decode(request.page_token, *scope)
        size = paging.page_size(request.page_size)
        page, end = await self._catalogs.page(caller(), after[0] if after else None, size)
        return messages.ListCatalogsResponse(
            catalogs=[converters.to_message(catalog) for catalog in page],
            next_page_token=paging.encode([end], *scope) if end is not None else "",
        )

    async def UpdateCatalog(
        self, request: messages.UpdateCatalogRequest, context: RpcContext
    ) -> Catalog:
        """Changes a catalog."""
        (catalog,) = ids(request.catalog.name)
        sent = converters.to_catalog(catalog, request.catalog)
        fields = converters.changed_fields(request)
        return converters.to_message(await self._catalogs.update(sent, fields))

    async def DeleteCatalog(
        self, request: messages.DeleteCatalogRequest, context: RpcContext
    ) -> Empty:
        """Deletes a catalog."""
        (catalog,) = ids(request.name)
        await self._catalogs.delete(catalog, force=request.force)
        return Empty()
