"""`ExportInteractions`: everything in the order of writing, read in small groups, so that memory stays the same."""

# ruff: noqa: N802 - the method has the name of the contract

from __future__ import annotations

from collections.abc import AsyncIterator

from recmesh.catalog.v1 import interaction_service_pb2 as messages
from recmesh_catalog.interactions.converters import to_message
from recmesh_catalog.interactions.interaction import Mark
from recmesh_catalog.interactions.service import InteractionService
from recmesh_catalog.times import to_timestamp
from recmesh_kit import paging
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.names import ids

_HIGHEST = 2**63


class ExportMethods:
    """Convert, call, convert: for each group of interactions."""

    def __init__(self, interactions: InteractionService) -> None:
        self._interactions = interactions

    async def ExportInteractions(
        self, request: messages.ExportInteractionsRequest, context: RpcContext
    ) -> AsyncIterator[messages.ExportInteractionsResponse]:
        """Streams interactions. The last message says until when they are complete, also when there were none."""
        (catalog,) = ids(request.parent)
        scope = ("ExportInteractions", request.parent)
        cursor = paging.decode(request.resume_token, *scope, length=2)
        mark = _mark(cursor) if cursor else Mark(-1, "")
        async for group in self._interactions.export(caller(), catalog, mark):
            until = group.complete_until
            yield messages.ExportInteractionsResponse(
                interactions=[to_message(catalog, found) for found in group.interactions],
                resume_token=paging.encode([str(group.mark.transaction), group.mark.id], *scope),
                complete_until=to_timestamp(until) if until else None,
            )


def _mark(cursor: list[str]) -> Mark:
    try:
        transaction = int(cursor[0])
    except ValueError:
        raise paging.invalid_token() from None
    if not -1 <= transaction < _HIGHEST:
        raise paging.invalid_token()
    return Mark(transaction, cursor[1])
