"""Who waits for which job. The worker's reply wakes them at once; where no reply comes, a poll of the rows does."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

from recmesh_jobs.job import Job
from recmesh_jobs.messages import Finished
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import State
from recmesh_kit.database import Database

TICK_SECONDS = 0.1
FIRST_POLL_SECONDS = 0.25
LAST_POLL_SECONDS = 2.0
_MAX_NEWS = 8


@dataclass(eq=False, slots=True)
class Waiter:
    """One caller that waits for one job.

    Attributes:
        id: The job.
        job: The job as it was stored or read, once it is known: a reply tells only what came of it.
        gone: Whether the job was deleted, or has expired.
    """

    id: UUID
    job: Job | None = None
    gone: bool = False
    _news: asyncio.Queue[Job | None] = field(
        default_factory=lambda: asyncio.Queue(_MAX_NEWS), repr=False
    )
    _state: State | None = None
    _poll_every: float = FIRST_POLL_SECONDS
    _poll_at: float = field(default_factory=lambda: time.monotonic() + FIRST_POLL_SECONDS)

    async def changes(self) -> AsyncIterator[Job]:
        """The job at each change of its state that is seen; ends after its end state, or when it is let go."""
        while (job := await self._news.get()) is not None:
            yield job
            if job.state.ended:
                return

    async def end(self) -> Job | None:
        """The job in its end state; None when it is let go first."""
        async for job in self.changes():
            if job.state.ended:
                return job
        return None

    def begin(self, job: Job) -> None:
        """Notes how the job stood at first, once it is stored: what is older is no news."""
        self._state = max(self._state or job.state, job.state)

    @property
    def begun(self) -> bool:
        """Whether the job is known to have been stored."""
        return self._state is not None

    def tell(self, job: Job) -> None:
        """Passes news on, if they are any."""
        if self._state is not None and job.state <= self._state:
            return
        self._state = job.state
        # Never full: a job has fewer states than this has places.
        self._news.put_nowait(job)

    def let_go(self, *, gone: bool = False) -> None:
        """Ends the wait: the job is gone, or else the server stops."""
        if not self.gone:
            self.gone = gone
            self._news.put_nowait(None)

    def due(self, now: float) -> bool:
        """Whether to look at the row now; if so, the next look comes later."""
        if now < self._poll_at:
            return False
        self._poll_every = min(self._poll_every * 2, LAST_POLL_SECONDS)
        self._poll_at = now + self._poll_every
        return True


class WaitingRoom:
    """All waiters of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: defaultdict[UUID, set[Waiter]] = defaultdict(set)
        self._closed = False

    @contextmanager
    def waiting_for(self, id: UUID) -> Iterator[Waiter]:  # noqa: A002 - what it is
        """A waiter, as long as the block lasts. Enter it before the job is stored or read: then no news is missed."""
        waiter = Waiter(id)
        self._waiters[id].add(waiter)
        if self._closed:
            waiter.let_go()
        try:
            yield waiter
        finally:
            waiters = self._waiters[id]
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[id]

    def tell(self, job: Job) -> None:
        """Passes news of a job on to those who wait for it."""
        for waiter in self._waiters.get(job.id, ()):
            waiter.tell(job)

    def tell_finished(self, finished: Finished) -> None:
        """Passes a worker's reply on to those who wait for the job."""
        ended = finished.ended
        for waiter in self._waiters.get(ended.id, ()):
            if waiter.job is not None:
                job = replace(
                    waiter.job,
                    state=ended.state,
                    attempts=ended.attempts,
                    start_time=ended.start_time,
                    end_time=ended.end_time,
                    answer=finished.answer,
                    failure=finished.failure,
                )
                waiter.tell(job)

    def tell_gone(self, id: UUID) -> None:  # noqa: A002 - what it is
        """Lets those go who wait for a job that is not there any more."""
        for waiter in self._waiters.get(id, ()):
            waiter.let_go(gone=True)

    async def poll(self) -> None:
        """Looks at the rows of the jobs whose waiters are due, all in one query."""
        now = time.monotonic()
        due = [
            id_
            for id_, waiters in self._waiters.items()
            # Every waiter is asked: each one's clock goes on.
            if sum(waiter.due(now) for waiter in waiters)
        ]
        if not due:
            return
        # Asked before the query: what is stored while it runs is not missing.
        stored = {id_ for id_ in due if any(waiter.begun for waiter in self._waiters[id_])}
        async with self._database.transaction() as session:
            found = await JobRepository(session).get(due)
        for job in found:
            self.tell(job)
        for id_ in stored.difference(job.id for job in found):
            self.tell_gone(id_)

    async def close(self) -> None:
        """The server stops: all who wait are let go, and nobody waits any more."""
        self._closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.let_go()
