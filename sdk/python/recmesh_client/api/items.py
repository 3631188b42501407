"""Items."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from recmesh.catalog.v1 import catalog_service_pb2 as pb
from recmesh.catalog.v1 import item_pb2
from recmesh_client.api.base import Api, Progress, carry
from recmesh_client.convert.basics import catalog_name, child_name, strings
from recmesh_client.convert.item import from_changes, from_found, from_item, from_report, to_item
from recmesh_client.data.item import FoundItem, Item, ItemChanges
from recmesh_client.data.rows import ImportReport
from recmesh_client.pages import AsyncPages
from recmesh_client.wire.upload import Upload
from recmesh_client.wire.wire import Wire

ROWS = 200
"""Rows in a message of an import."""

ItemUpload = Upload[Item, item_pb2.Item, pb.ImportItemsRequest, pb.ImportItemsResponse]


class Items(Api):
    """Methods about items."""

    async def create_item(self, catalog: str, item: Item, *, timeout: float | None = None) -> Item:
        """Makes an item; it can be recommended a moment later. Raises NotFound, AlreadyExists."""
        request = _create(catalog, item)
        return from_item(await self._call(self._wire.catalog.CreateItem, request, timeout))

    async def batch_create_items(
        self, catalog: str, items: Iterable[Item], *, timeout: float | None = None
    ) -> tuple[Item, ...]:
        """Makes up to 1,000 items: all of them or, on the first error, none. Raises NotFound, AlreadyExists."""
        request = pb.BatchCreateItemsRequest(
            parent=catalog_name(catalog), requests=[_create(catalog, item) for item in items]
        )
        answer = await self._call(self._wire.catalog.BatchCreateItems, request, timeout)
        return tuple(map(from_item, answer.items))

    async def get_item(self, catalog: str, item: str, *, timeout: float | None = None) -> Item:
        """Reads an item. Raises NotFound."""
        request = pb.GetItemRequest(name=child_name(catalog, "items", item))
        return from_item(await self._call(self._wire.catalog.GetItem, request, timeout))

    async def batch_get_items(
        self,
        catalog: str,
        items: Iterable[str],
        *,
        allow_missing: bool = False,
        timeout: float | None = None,
    ) -> tuple[Item, ...]:
        """Reads up to 1,000 items, in the order of the ids.

        Raises:
            NotFound: One is not there, and `allow_missing`, which leaves such out, is not set.
        """
        request = pb.BatchGetItemsRequest(
            parent=catalog_name(catalog),
            names=[child_name(catalog, "items", item) for item in strings(items)],
            allow_missing=allow_missing,
        )
        answer = await self._call(self._wire.catalog.BatchGetItems, request, timeout)
        return tuple(map(from_item, answer.items))

    def list_items(
        self,
        catalog: str,
        *,
        filter: str = "",  # noqa: A002 - so it is called in the contract
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncPages[Item]:
        """The items of a catalog that a filter (AIP-160) selects, by id. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[Item, ...], str]:
            request = pb.ListItemsRequest(
                parent=catalog_name(catalog), filter=filter, page_size=page_size, page_token=token
            )
            page = await self._call(self._wire.catalog.ListItems, request, timeout)
            return tuple(map(from_item, page.items)), page.next_page_token

        return AsyncPages(fetch)

    def search_items(
        self,
        catalog: str,
        query: str,
        *,
        filter: str = "",  # noqa: A002 - so it is called in the contract
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncPages[FoundItem]:
        """Items by title as people type it, the best first: stop when you have enough. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[FoundItem, ...], str]:
            request = pb.SearchItemsRequest(
                parent=catalog_name(catalog),
                query=query,
                filter=filter,
                page_size=page_size,
                page_token=token,
            )
            page = await self._call(self._wire.catalog.SearchItems, request, timeout)
            return tuple(map(from_found, page.results)), page.next_page_token

        return AsyncPages(fetch)

    async def update_item(
        self,
        catalog: str,
        item: Item,
        *,
        fields: Sequence[str] = (),
        allow_missing: bool = False,
        timeout: float | None = None,
    ) -> Item:
        """Changes an item.

        Args:
            catalog: The catalog's id.
            item: The item, with its id and the fields to change. With an etag, only if it has not changed since.
            fields: Their names. Empty: all that are set. `["*"]`: all, those that are not set are cleared.
            allow_missing: Make the item if there is none.
            timeout: Seconds.

        Raises:
            NotFound: There is none.
            Aborted: It has changed since the etag was read.
        """
        request = pb.UpdateItemRequest(
            item=to_item(item, catalog),
            update_mask=FieldMask(paths=strings(fields)),
            allow_missing=allow_missing,
        )
        return from_item(await self._call(self._wire.catalog.UpdateItem, request, timeout))

    async def delete_item(
        self,
        catalog: str,
        item: str,
        *,
        allow_missing: bool = False,
        etag: str = "",
        timeout: float | None = None,
    ) -> None:
        """Deletes an item; with an etag, only if it has not changed since. Raises NotFound, Aborted."""
        request = pb.DeleteItemRequest(
            name=child_name(catalog, "items", item), allow_missing=allow_missing, etag=etag
        )
        await self._call(self._wire.catalog.DeleteItem, request, timeout)

    async def import_items(
        self,
        catalog: str,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> ImportReport:
        """Writes any number of items: new ones are made, known ones replaced, unchanged ones left alone. Bad rows are
        reported, the good ones go in. An import that broke off is simply run again.

        Args:
            catalog: The catalog's id.
            items: The rows; taken as fast as the service writes them.
            progress: Called each time that rows were sent, and at the end.
            timeout: Seconds; default the client's for streams.

        Raises:
            NotFound: There is no such catalog.
            ValueError: A row is larger than a message can be.
        """
        return await carry(await open_item_import(self._wire, catalog, timeout), items, progress)

    async def export_items(
        self, catalog: str, *, after_revision: int = 0, timeout: float | None = None
    ) -> AsyncIterator[ItemChanges]:
        """Every item that changed after a revision, deletions included. A broken stream is resumed. Raises NotFound."""
        revision = after_revision

        def request() -> pb.ExportItemsRequest:
            return pb.ExportItemsRequest(parent=catalog_name(catalog), after_revision=revision)

        async for part in self._stream(self._wire.catalog.ExportItems, request, timeout):
            revision = part.revision
            yield from_changes(part)


async def open_item_import(wire: Wire, catalog: str, timeout: float | None) -> ItemUpload:
    """Opens the call of an import."""
    parent = catalog_name(catalog)
    return Upload(
        await wire.caller.upload(
            wire.catalog.ImportItems, wire.stream_timeout if timeout is None else timeout
        ),
        service=wire.caller.service_of(pb.ImportItemsRequest()),
        encode=lambda item: to_item(item, catalog),
        pack=lambda rows: pb.ImportItemsRequest(parent=parent, items=rows),
        report=from_report,
        rows=ROWS,
    )


def _create(catalog: str, item: Item) -> pb.CreateItemRequest:
    return pb.CreateItemRequest(
        parent=catalog_name(catalog), item_id=item.id, item=to_item(item, catalog)
    )
