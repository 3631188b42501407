"""Who waits for which job. The worker's reply wakes them at once; where no reply comes, a poll of the rows does."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

from recmesh_jobs.job import Job
from recmesh_jobs.messages import Finished
from recmesh_jobs.states import State
from recmesh_recommender.reader import Reader

FRESH_SECONDS = 1.0
"""How long a job that was just stored is known to stand in the queue, until news of it comes."""
MAX_FRESH = 1_000
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
    _early: Finished | None = field(default=None, repr=False)
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
        while (job := await self._news.get()) is not None:
            if job.state.ended:
                return job
        return None

    def begin(self, job: Job) -> None:
        """Notes how the job stood at first, once it is stored: what is older is no news."""
        self._state = max(self._state or job.state, job.state)
        if self._early is not None:
            self.tell_finished(self._early)

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

    def tell_finished(self, finished: Finished) -> None:
        """Passes a worker's reply on. One that comes while the job's row is being read is kept until it is known."""
        if self.job is None:
            self._early = finished
            return
        ended = finished.ended
        self.tell(
            replace(
                self.job,
                state=ended.state,
                attempts=ended.attempts,
                start_time=ended.start_time,
                end_time=ended.end_time,
                answer=finished.answer,
                failure=finished.failure,
            )
        )

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
    """All waiters of this process.

    Args:
        reader: Reads the rows where no reply comes.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiters: defaultdict[UUID, set[Waiter]] = defaultdict(set)
        self._occupied = asyncio.Event()
        self._fresh: OrderedDict[UUID, tuple[float, Job]] = OrderedDict()
        self._closed = False

    def remember(self, job: Job) -> None:
        """Notes a job that was stored just now: whoever made it is likely to ask for it next."""
        now = time.monotonic()
        while self._fresh and (
            len(self._fresh) >= MAX_FRESH or next(iter(self._fresh.values()))[0] <= now
        ):
            self._fresh.popitem(last=False)
        self._fresh[job.id] = (now + FRESH_SECONDS, job)

    def fresh(self, id: UUID) -> Job | None:  # noqa: A002 - what it is
        """A job that was stored here a moment ago and of which nothing was heard or read since; None for any other, of
        which its row tells. What is done to it elsewhere in that moment, a poll finds."""
        until, job = self._fresh.get(id, (0.0, None))
        return job if time.monotonic() < until else None

    def forget(self, *ids: UUID) -> None:
        """From now on their rows tell of these jobs."""
        for id_ in ids:
            self._fresh.pop(id_, None)

    @contextmanager
    def waiting_for(self, id: UUID) -> Iterator[Waiter]:  # noqa: A002 - what it is
        """A waiter, as long as the block lasts. Enter it before the job is stored or read: then no news is missed."""
        waiter = Waiter(id)
        self._waiters[id].add(waiter)
        self._occupied.set()
        if self._closed:
            waiter.let_go()
        try:
            yield waiter
        finally:
            waiters = self._waiters[id]
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[id]
                if not self._waiters:
                    self._occupied.clear()

    def tell(self, job: Job) -> None:
        """Passes news of a job on to those who wait for it."""
        self.forget(job.id)
        for waiter in self._waiters.get(job.id, ()):
            waiter.tell(job)

    def tell_finished(self, finished: Finished) -> None:
        """Passes a worker's reply on to those who wait for the job."""
        self.forget(finished.ended.id)
        for waiter in self._waiters.get(finished.ended.id, ()):
            waiter.tell_finished(finished)

    def tell_gone(self, id: UUID) -> None:  # noqa: A002 - what it is
        """Lets those go who wait for a job that is not there any more."""
        self.forget(id)
        for waiter in self._waiters.get(id, ()):
            waiter.let_go(gone=True)

    async def poll(self) -> None:
        """Looks at the rows of the jobs whose waiters are due, all in one query; first waits until there are any
        waiters."""
        await self._occupied.wait()
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
        found = await self._reader.many(due)
        for job in found.values():
            self.tell(job)
        for id_ in stored.difference(found):
            self.tell_gone(id_)

    async def close(self) -> None:
        """The server stops: all who wait are let go, and nobody waits any more."""
        self._closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.let_go()
