"""Catalogs."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from recmesh.catalog.v1 import catalog_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import catalog_name
from recmesh_client.convert.catalog import from_catalog, to_catalog
from recmesh_client.data.catalog import Catalog, Visibility
from recmesh_client.pages import AsyncPages


class Catalogs(Api):
    """Methods about catalogs."""

    async def create_catalog(
        self,
        catalog: str,
        *,
        display_name: str = "",
        description: str = "",
        visibility: Visibility = Visibility.PRIVATE,
        timeout: float | None = None,
    ) -> Catalog:
        """Makes a catalog. Raises AlreadyExists, PermissionDenied."""
        new = Catalog(catalog, display_name, description, visibility)
        request = pb.CreateCatalogRequest(catalog_id=catalog, catalog=to_catalog(new))
        return from_catalog(await self._call(self._wire.catalog.CreateCatalog, request, timeout))

    async def get_catalog(self, catalog: str, *, timeout: float | None = None) -> Catalog:
        """Reads a catalog, with its number of items. Raises NotFound."""
        request = pb.GetCatalogRequest(name=catalog_name(catalog))
        return from_catalog(await self._call(self._wire.catalog.GetCatalog, request, timeout))

    def list_catalogs(
        self, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncPages[Catalog]:
        """The catalogs that the caller may read, by id. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[Catalog, ...], str]:
            request = pb.ListCatalogsRequest(page_size=page_size, page_token=token)
            page = await self._call(self._wire.catalog.ListCatalogs, request, timeout)
            return tuple(map(from_catalog, page.catalogs)), page.next_page_token

        return AsyncPages(fetch)

    async def update_catalog(
        self, catalog: Catalog, *, fields: Sequence[str] = (), timeout: float | None = None
    ) -> Catalog:
        """Changes the named fields of a catalog; without names, all that are set. Raises NotFound, InvalidArgument."""
        request = pb.UpdateCatalogRequest(
            catalog=to_catalog(catalog), update_mask=FieldMask(paths=fields)
        )
        return from_catalog(await self._call(self._wire.catalog.UpdateCatalog, request, timeout))

    async def delete_catalog(
        self, catalog: str, *, force: bool = False, timeout: float | None = None
    ) -> None:
        """Deletes a catalog; one that holds items only with `force`, and then with all that is in it.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It holds items.
        """
        request = pb.DeleteCatalogRequest(name=catalog_name(catalog), force=force)
        await self._call(self._wire.catalog.DeleteCatalog, request, timeout)
