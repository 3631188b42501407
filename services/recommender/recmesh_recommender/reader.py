"""Jobs coming out: read by their ids, those that calls ask for at the same time together."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from recmesh_jobs import reading
from recmesh_jobs.job import Job
from recmesh_kit.batcher import Batcher
from recmesh_kit.database import Database
from recmesh_kit.telemetry.place import Place, current_place
from recmesh_kit.telemetry.tracing import Tracing

MAX_BATCH = 64
"""Jobs read together with their answers, of some kilobytes each."""


class Reader:
    """Reads jobs as their rows stand once they are asked for, not before: nothing is kept.

    Args:
        database: Where the jobs are.
        max_waiting: Most of them that wait to be read.
        tracing: Makes its spans.
    """

    def __init__(self, database: Database, *, max_waiting: int, tracing: Tracing) -> None:
        self._database = database
        self._tracing = tracing
        self._singles: Batcher[tuple[UUID, Place | None], Job | None] = Batcher(
            "reading", self._read, max_batch=MAX_BATCH, max_waiting=max_waiting
        )

    async def aclose(self) -> None:
        """Reads what was asked for, and nothing more."""
        await self._singles.aclose()

    async def one(self, id: UUID) -> Job | None:  # noqa: A002 - what it is
        """A job with its answer; None when it is not there.

        Raises:
            Exhausted: As many wait as may.
            Unavailable: The database is away.
        """
        return await self._singles.submit((id, current_place()))

    async def many(self, ids: Collection[UUID], *, answers: bool = True) -> dict[UUID, Job]:
        """As `recmesh_jobs.reading.read`.

        Raises:
            Unavailable: The database is away.
        """
        if not ids:
            return {}
        async with self._database.driver() as connection:
            return await reading.read(connection, ids, answers=answers)

    async def _read(self, asked: list[tuple[UUID, Place | None]]) -> list[Job | None]:
        with self._tracing.spans("read jobs", (place for _, place in asked)):
            found = await self.many([id_ for id_, _ in asked])
        return [found.get(id_) for id_, _ in asked]
