"""`ImportInteractions`: rows come in messages, and the good ones of each message are one transaction."""

# ruff: noqa: N802 - the method has the name of the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from recmesh.catalog.v1 import interaction_service_pb2 as messages
from recmesh_catalog.imports import MOST_ERRORS, no_message, parent_of
from recmesh_catalog.interactions.rows import sort_out
from recmesh_catalog.interactions.service import InteractionService
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.names import ids


class ImportMethods:
    """Convert, call, convert: for each message of the stream."""

    def __init__(self, interactions: InteractionService) -> None:
        self._interactions = interactions

    async def ImportInteractions(
        self, request: AsyncIterator[messages.ImportInteractionsRequest], context: RpcContext
    ) -> messages.ImportInteractionsResponse:
        """Writes interactions as they come. A call that breaks off keeps the messages before."""
        answer = messages.ImportInteractionsResponse()
        parent = ""
        position = 0
        async for message in request:
            parent = parent_of(parent, message.parent)
            (catalog,) = ids(parent)
            # A thousand rows take a while to check: other calls go on meanwhile.
            rows = await asyncio.to_thread(
                sort_out, catalog, message.interactions, position, datetime.now(UTC)
            )
            position += len(message.interactions)
            created = await self._interactions.import_group(caller(), catalog, rows.good)
            answer.created_count += created
            answer.unchanged_count += len(rows.good) - created
            answer.failed_count += len(rows.bad)
            answer.errors.extend(rows.bad[: MOST_ERRORS - len(answer.errors)])
        if not parent:
            raise no_message()
        return answer
