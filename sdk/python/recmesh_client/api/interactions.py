"""What people did with items."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from recmesh.catalog.v1 import interaction_pb2
from recmesh.catalog.v1 import interaction_service_pb2 as pb
from recmesh_client.api.base import Api, Progress, carry
from recmesh_client.convert.basics import catalog_name
from recmesh_client.convert.interaction import (
    from_batch,
    from_interaction,
    from_purge,
    from_report,
    to_interaction,
)
from recmesh_client.data.interaction import Interaction, InteractionBatch, Purge
from recmesh_client.data.rows import ImportReport
from recmesh_client.pages import AsyncPages
from recmesh_client.wire.upload import Upload
from recmesh_client.wire.wire import Wire

ROWS = 500
"""Rows in a message of an import."""

InteractionUpload = Upload[
    Interaction,
    interaction_pb2.Interaction,
    pb.ImportInteractionsRequest,
    pb.ImportInteractionsResponse,
]


class Interactions(Api):
    """Methods about interactions."""

    async def write_interaction(
        self, catalog: str, interaction: Interaction, *, timeout: float | None = None
    ) -> Interaction:
        """Writes an interaction. One without an id gets one here, so that a repeat is harmless.

        Raises:
            NotFound: There is no such catalog.
            PermissionDenied: A caller with role `user` named somebody else.
            AlreadyExists: The id stands for something else.
        """
        request = pb.WriteInteractionRequest(
            parent=catalog_name(catalog),
            interaction=to_interaction(interaction, catalog),
            interaction_id=interaction.id or str(uuid.uuid4()),
        )
        answer = await self._call(self._wire.interactions.WriteInteraction, request, timeout)
        return from_interaction(answer)

    async def import_interactions(
        self,
        catalog: str,
        interactions: Iterable[Interaction] | AsyncIterable[Interaction],
        *,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> ImportReport:
        """Writes any number of interactions; a second run changes nothing. Otherwise as `import_items`."""
        upload = await open_interaction_import(self._wire, catalog, timeout)
        return await carry(upload, interactions, progress)

    def list_interactions(
        self,
        catalog: str,
        *,
        user: str = "",
        filter: str = "",  # noqa: A002 - so it is called in the contract
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncPages[Interaction]:
        """Interactions, the newest first: of one user or, for editors and above, of all. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[Interaction, ...], str]:
            request = pb.ListInteractionsRequest(
                parent=catalog_name(catalog),
                user=user,
                filter=filter,
                page_size=page_size,
                page_token=token,
            )
            page = await self._call(self._wire.interactions.ListInteractions, request, timeout)
            return tuple(map(from_interaction, page.interactions)), page.next_page_token

        return AsyncPages(fetch)

    async def export_interactions(
        self, catalog: str, *, resume_token: str = "", timeout: float | None = None
    ) -> AsyncIterator[InteractionBatch]:
        """Interactions in the order in which they were written. A broken stream is resumed. Raises NotFound."""
        token = resume_token

        def request() -> pb.ExportInteractionsRequest:
            return pb.ExportInteractionsRequest(parent=catalog_name(catalog), resume_token=token)

        method = self._wire.interactions.ExportInteractions
        async for part in self._stream(method, request, timeout):
            token = part.resume_token
            yield from_batch(part)

    async def purge_interactions(
        self,
        catalog: str,
        filter: str,  # noqa: A002 - so it is called in the contract
        *,
        force: bool = False,
        timeout: float | None = None,
    ) -> Purge:
        """Deletes the interactions that a filter selects (`*`: all); without `force` it only says how many they are."""
        request = pb.PurgeInteractionsRequest(
            parent=catalog_name(catalog), filter=filter, force=force
        )
        answer = await self._call(self._wire.interactions.PurgeInteractions, request, timeout)
        return from_purge(answer)


async def open_interaction_import(
    wire: Wire, catalog: str, timeout: float | None
) -> InteractionUpload:
    """Opens the call of an import."""
    parent = catalog_name(catalog)
    return Upload(
        await wire.caller.upload(
            wire.interactions.ImportInteractions,
            wire.stream_timeout if timeout is None else timeout,
        ),
        service=wire.caller.service_of(pb.ImportInteractionsRequest()),
        encode=lambda interaction: to_interaction(interaction, catalog),
        pack=lambda rows: pb.ImportInteractionsRequest(parent=parent, interactions=rows),
        report=from_report,
        rows=ROWS,
    )
