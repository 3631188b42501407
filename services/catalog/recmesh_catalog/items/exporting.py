"""`ExportItems`: every change after a revision, read in small groups, so that memory stays the same."""

# ruff: noqa: N802 - the method has the name of the contract

from __future__ import annotations

from collections.abc import AsyncIterator

from recmesh.catalog.v1 import catalog_service_pb2 as messages
from recmesh_catalog.items.converters import to_message
from recmesh_catalog.items.service import ItemService
from recmesh_catalog.names import item_name
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.names import ids

MESSAGE_BYTES = 1_000_000
"""A message is sent when it has grown so large: clients take 4 MB, and an item is far below that."""


class ExportMethods:
    """Convert, call, convert: for each group of changes."""

    def __init__(self, items: ItemService) -> None:
        self._items = items

    async def ExportItems(
        self, request: messages.ExportItemsRequest, context: RpcContext
    ) -> AsyncIterator[messages.ExportItemsResponse]:
        """Streams changes. The last message says how far they go, also when there were none."""
        (catalog,) = ids(request.parent)
        after = request.after_revision
        answer = messages.ExportItemsResponse(revision=after)
        async for group in self._items.changes(caller(), catalog, after):
            size = 0
            for change in group.changes:
                if change.deleted:
                    answer.deleted_names.append(item_name(catalog, change.item.id))
                else:
                    answer.items.append(to_message(catalog, change.item))
                    size += answer.items[-1].ByteSize()
                answer.revision = change.item.revision
                if size > MESSAGE_BYTES:
                    yield answer
                    answer, size = messages.ExportItemsResponse(revision=answer.revision), 0
            answer.revision = group.revision
            yield answer
            answer = messages.ExportItemsResponse(revision=group.revision)
