"""Jobs to the queues, and news of their end to whoever listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from recmesh_jobs import messages
from recmesh_jobs.job import VERSION, Job
from recmesh_jobs.states import Lane
from recmesh_jobs.topology import JOBS, QUEUE_OF, RECOMMENDER_EVENTS
from recmesh_kit.amqp import REQUEST_ID_HEADER
from recmesh_kit.broker import Broker
from recmesh_kit.errors import Unavailable

log = structlog.get_logger()

MAX_WAITING = 1_000
MAX_UNSENT = 10_000
PROMPT = frozenset({Lane.INTERACTIVE, Lane.SUSPECT})
"""The lanes of jobs that somebody may wait for. The others have a line of their own, and hold these up by no more than
the few that are on their way."""
PATIENT = frozenset(Lane) - PROMPT
_PROMPT_AT_ONCE = 256
_PATIENT_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Parcel:
    job: Job
    request_id: str | None


class _Line:
    """Parcels that wait for their turn, and the ids of jobs that could not be sent."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.waiting: asyncio.Queue[_Parcel] = asyncio.Queue(MAX_WAITING)
        # Ids only, of the latest: without the broker they would be many, and the rows hold the rest.
        self.unsent: deque[UUID] = deque(maxlen=MAX_UNSENT)

    async def next_parcels(self) -> list[_Parcel]:
        """What waits, up to as many as may be on their way at once; waits for the first."""
        parcels = [await self.waiting.get()]
        while len(parcels) < self.at_once and not self.waiting.empty():
            parcels.append(self.waiting.get_nowait())
        return parcels


class Dispatcher:
    """Publishes in the background. The rows decide: a message too many, too late or too few does no harm.

    Args:
        broker: Where to.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._prompt, self._patient = _Line(_PROMPT_AT_ONCE), _Line(_PATIENT_AT_ONCE)

    def dispatch(self, job: Job, request_id: str | None) -> None:
        """Has a stored job published soon, on behalf of a request. One too many to be kept here is left unsent."""
        line = self._line(job.lane)
        try:
            line.waiting.put_nowait(_Parcel(job, request_id))
        except asyncio.QueueFull:
            line.unsent.append(job.id)

    async def dispatch_again(self, jobs: Iterable[Job]) -> None:
        """Has jobs published; waits for room."""
        for job in jobs:
            await self._line(job.lane).waiting.put(_Parcel(job, None))

    def announce(self, jobs: Iterable[Job]) -> None:
        """Tells soon that jobs have ended. Nobody is promised to hear of it: what is too many is dropped."""
        with suppress(asyncio.QueueFull):
            for job in jobs:
                self._patient.waiting.put_nowait(_Parcel(job, None))

    def take_unsent(self, lanes: frozenset[Lane]) -> list[UUID]:
        """The jobs of `PROMPT` or `PATIENT` that were not published as they should have been; they are forgotten
        here."""
        unsent = (self._prompt if lanes == PROMPT else self._patient).unsent
        taken = list(unsent)
        unsent.clear()
        return taken

    async def run(self) -> None:
        """Publishes what is waiting, many at a time; ends by being cancelled."""
        await asyncio.gather(self._run(self._prompt), self._run(self._patient))

    async def drain(self, seconds: float) -> None:
        """Returns when nothing waits any more, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._prompt.waiting.join()
                await self._patient.waiting.join()

    def _line(self, lane: Lane) -> _Line:
        return self._prompt if lane in PROMPT else self._patient

    async def _run(self, line: _Line) -> None:
        while True:
            parcels = await line.next_parcels()
            await asyncio.gather(*(self._send(line, parcel) for parcel in parcels))
            for _ in parcels:
                line.waiting.task_done()

    async def _send(self, line: _Line, parcel: _Parcel) -> None:
        job = parcel.job
        try:
            await (self._announce(job) if job.state.ended else self._publish(parcel))
        except Exception as error:
            # One job's defect must not end the loop for all.
            if not isinstance(error, Unavailable):
                log.exception("not published", job=str(job.id))
            if not job.state.ended:
                line.unsent.append(job.id)

    async def _publish(self, parcel: _Parcel) -> None:
        job = parcel.job
        headers: dict[str, str | int] = {messages.VERSION_HEADER: job.version}
        if parcel.request_id is not None:
            headers[REQUEST_ID_HEADER] = parcel.request_id
        await self._broker.publish(
            JOBS.name,
            QUEUE_OF[job.lane].name,
            await _encoded(job),
            headers=headers,
            message_id=str(job.id),
            reply_to=self._broker.reply_to,
            mandatory=True,
        )

    async def _announce(self, job: Job) -> None:
        await self._broker.publish(
            RECOMMENDER_EVENTS.name,
            f"recommendation.{job.catalog}",
            messages.encode_announcement(job),
            headers={messages.VERSION_HEADER: VERSION},
            persistent=False,
            confirm=False,
        )


async def _encoded(job: Job) -> bytes:
    if not job.shown:
        return messages.encode_job(job)
    # It may be a catalog's worth of items: other calls go on meanwhile.
    return await asyncio.to_thread(messages.encode_job, job)
