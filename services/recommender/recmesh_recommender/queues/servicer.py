"""`recmesh.recommender.v1.QueueService`: convert, call, convert."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

import asyncio

from recmesh.recommender.v1 import queue_service_pb2 as pb
from recmesh.recommender.v1.queue_service_pb2_grpc import QueueServiceServicer
from recmesh_kit import names, paging
from recmesh_recommender.queues import converters
from recmesh_recommender.queues.service import QueueService

MAX_PAGE_BYTES = 2 * 1024 * 1024
"""A page of long queries ends before it is too long for a message; one letter is always on it."""


class QueueServicer(QueueServiceServicer):
    """The methods.

    Args:
        service: Does what they ask for.
    """

    def __init__(self, service: QueueService) -> None:
        self._service = service

    async def GetQueueStats(
        self, request: pb.GetQueueStatsRequest, context: object
    ) -> pb.QueueStats:
        """Says how the queues stand."""
        return converters.stats(await self._service.figures())

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: object
    ) -> pb.ListDeadLettersResponse:
        """Lists the jobs that were given up."""
        catalog = names.ids(request.parent)[0] if request.parent else None
        scope = ("ListDeadLetters", request.parent)
        ended = paging.decode(request.page_token, *scope, length=2)
        size = paging.page_size(request.page_size)
        letters = await self._service.page(
            catalog, converters.position(ended) if ended else None, size + 1, MAX_PAGE_BYTES
        )
        answer = pb.ListDeadLettersResponse()
        length = 0
        for letter in letters[:size]:
            message = converters.dead_letter(letter)
            length += message.ByteSize()
            if answer.dead_letters and length > MAX_PAGE_BYTES:
                break
            answer.dead_letters.append(message)
            # A page of long queries takes a while: other calls have their turn.
            await asyncio.sleep(0)
        listed = len(answer.dead_letters)
        if listed < len(letters):
            answer.next_page_token = paging.encode(converters.cursor(letters[listed - 1]), *scope)
        return answer

    async def RedriveDeadLetters(
        self, request: pb.RedriveDeadLettersRequest, context: object
    ) -> pb.RedriveDeadLettersResponse:
        """Puts given-up jobs back."""
        if request.names:
            count = await self._service.redrive_named(
                converters.named(request), dry_run=request.dry_run
            )
        else:
            count = await self._service.redrive(
                converters.condition(request), dry_run=request.dry_run
            )
        return pb.RedriveDeadLettersResponse(redriven_count=count)
