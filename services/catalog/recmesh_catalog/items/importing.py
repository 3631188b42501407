"""`ImportItems`: rows come in messages, and the good ones of each message are one transaction."""

# ruff: noqa: N802 - the method has the name of the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from recmesh.catalog.v1 import catalog_service_pb2 as messages
from recmesh_catalog.imports import MOST_ERRORS, no_message, parent_of
from recmesh_catalog.items.rows import sort_out
from recmesh_catalog.items.service import ItemService
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.names import ids

MANY = 1000
"""After an import of so many changes PostgreSQL's statistics are gathered at once, which otherwise happens within
minutes."""
GROWTH = 10
"""So many times as many changes later they are gathered again: an import is slow while PostgreSQL takes a catalog that
it does not know for an empty one."""


class ImportMethods:
    """Convert, call, convert: for each message of the stream."""

    def __init__(self, items: ItemService) -> None:
        self._items = items

    async def ImportItems(
        self, request: AsyncIterator[messages.ImportItemsRequest], context: RpcContext
    ) -> messages.ImportItemsResponse:
        """Writes items as they come. A call that breaks off keeps the messages before."""
        answer = messages.ImportItemsResponse()
        parent = ""
        position = changed = 0
        due = MANY
        async for message in request:
            parent = parent_of(parent, message.parent)
            (catalog,) = ids(parent)
            # A thousand rows take a while to check: other calls go on meanwhile.
            rows = await asyncio.to_thread(sort_out, catalog, message.items, position)
            position += len(message.items)
            counts = await self._items.import_group(catalog, rows.good)
            answer.created_count += counts.created
            answer.updated_count += counts.updated
            answer.unchanged_count += counts.unchanged
            answer.failed_count += len(rows.bad)
            answer.errors.extend(rows.bad[: MOST_ERRORS - len(answer.errors)])
            changed += counts.created + counts.updated
            if changed >= due:
                await self._items.analyse(catalog)
                due = changed * GROWTH
        if not parent:
            raise no_message()
        if changed >= MANY:
            (catalog,) = ids(parent)
            await self._items.analyse(catalog)
        return answer
