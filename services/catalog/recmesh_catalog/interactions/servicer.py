"""The methods of `InteractionService`."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from recmesh.catalog.v1 import interaction_service_pb2 as messages
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2_grpc import InteractionServiceServicer
from recmesh_catalog.interactions import converters
from recmesh_catalog.interactions.exporting import ExportMethods
from recmesh_catalog.interactions.filtering import schema
from recmesh_catalog.interactions.importing import ImportMethods
from recmesh_catalog.interactions.service import InteractionService
from recmesh_kit import paging
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.filters.check import read
from recmesh_kit.names import ids


class InteractionServicer(ImportMethods, ExportMethods, InteractionServiceServicer):
    """Convert, call, convert."""

    def __init__(self, interactions: InteractionService) -> None:
        ImportMethods.__init__(self, interactions)
        ExportMethods.__init__(self, interactions)

    async def WriteInteraction(
        self, request: messages.WriteInteractionRequest, context: RpcContext
    ) -> Interaction:
        """Writes an interaction."""
        (catalog,) = ids(request.parent)
        draft = converters.to_draft(catalog, request)
        written = await self._interactions.write(caller(), catalog, draft)
        return converters.to_message(catalog, written)

    async def ListInteractions(
        self, request: messages.ListInteractionsRequest, context: RpcContext
    ) -> messages.ListInteractionsResponse:
        """Lists interactions."""
        (catalog,) = ids(request.parent)
        scope = ("ListInteractions", request.parent, request.user, request.filter)
        cursor = paging.decode(request.page_token, *scope, length=2)
        page, end = await self._interactions.page(
            caller(),
            catalog,
            request.user,
            converters.to_position(cursor) if cursor else None,
            paging.page_size(request.page_size),
            read(request.filter, schema(catalog)),
        )
        return messages.ListInteractionsResponse(
            interactions=[converters.to_message(catalog, found) for found in page],
            next_page_token=paging.encode(converters.to_cursor(end), *scope) if end else "",
        )
