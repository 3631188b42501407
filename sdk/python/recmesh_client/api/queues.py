"""Queues and dead letters."""

from __future__ import annotations

from collections.abc import Iterable

from recmesh.recommender.v1 import queue_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import catalog_name
from recmesh_client.convert.queue import from_dead_letter, from_stats
from recmesh_client.convert.recommendation import job_name
from recmesh_client.data.queue import DeadLetter, QueueStats
from recmesh_client.data.recommendation import Job
from recmesh_client.pages import AsyncPages


class Queues(Api):
    """Methods about queues; for admins of the deployment."""

    async def get_queue_stats(self, *, timeout: float | None = None) -> QueueStats:
        """How much is waiting and being worked on. Raises PermissionDenied."""
        request = pb.GetQueueStatsRequest()
        return from_stats(await self._call(self._wire.queues.GetQueueStats, request, timeout))

    def list_dead_letters(
        self, *, catalog: str = "", page_size: int = 0, timeout: float | None = None
    ) -> AsyncPages[DeadLetter]:
        """The jobs that were given up, of one catalog or all, the newest first. `timeout` is for each page."""

        async def fetch(token: str) -> tuple[tuple[DeadLetter, ...], str]:
            request = pb.ListDeadLettersRequest(
                parent=catalog_name(catalog) if catalog else "",
                page_size=page_size,
                page_token=token,
            )
            page = await self._call(self._wire.queues.ListDeadLetters, request, timeout)
            return tuple(map(from_dead_letter, page.dead_letters)), page.next_page_token

        return AsyncPages(fetch)

    async def redrive_dead_letters(
        self,
        jobs: Iterable[Job] = (),
        *,
        filter: str = "",  # noqa: A002 - so it is called in the contract
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Puts given-up jobs into the queue again: these or, without any, those that a filter selects (`*`: all).

        Returns:
            How many they are; with `dry_run` that is all that is done.

        Raises:
            NotFound: One is no dead letter.
            PermissionDenied: The caller is no admin.
        """
        request = pb.RedriveDeadLettersRequest(
            names=[job_name(job) for job in jobs], filter=filter, dry_run=dry_run
        )
        answer = await self._call(self._wire.queues.RedriveDeadLetters, request, timeout)
        return answer.redriven_count
