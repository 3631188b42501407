"""Jobs to the queues, and news of their end to whoever listens: what waits goes out together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind

from recmesh_jobs import messages
from recmesh_jobs.job import VERSION, Job
from recmesh_jobs.lanes import QUEUE_OF
from recmesh_jobs.states import Lane
from recmesh_kit import faults
from recmesh_kit.amqp import REQUEST_ID_HEADER
from recmesh_kit.broker import Broker, Outgoing, Refused
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import JOBS, RECOMMENDER_EVENTS
from recmesh_kit.tasks import Background
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_kit.telemetry.place import Place
from recmesh_kit.telemetry.tracing import PlaceOf, Tracing
from recmesh_recommender.metrics import JobMetrics

log = structlog.get_logger()

MAX_WAITING = 1_000
MAX_UNSENT = 10_000
PROMPT = frozenset({Lane.INTERACTIVE, Lane.SUSPECT})
"""The lanes of jobs that somebody may wait for. The others have a line of their own, and hold these up by no more than
the few that are on their way."""
PATIENT = frozenset(Lane) - PROMPT
_PROMPT_AT_ONCE = 256
_PATIENT_AT_ONCE = 16
_PUBLISH = {
    "messaging.system": "rabbitmq",
    "messaging.operation.name": "publish",
    "messaging.operation.type": "send",
    "messaging.destination.name": JOBS.name,
}
"""Of a span (OpenTelemetry's conventions for messaging)."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    job: Job
    request_id: str | None
    place: Place | None = None


class _Line:
    """Parcels that wait for their turn, and the ids of jobs that could not be sent."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.waiting: asyncio.Queue[_Parcel] = asyncio.Queue(MAX_WAITING)
        self._free = asyncio.Semaphore(at_once)
        # Ids only, of the latest: without the broker they would be many, and the rows hold the rest.
        self.unsent: deque[UUID] = deque(maxlen=MAX_UNSENT)

    async def next_parcels(self) -> list[_Parcel]:
        """What waits, as far as there is room for it on the way; waits for the first, and for room. Tell `over` how it
        went.
        """
        parcels = [await self.waiting.get()]
        await self._free.acquire()
        while not self.waiting.empty() and not self._free.locked():
            await self._free.acquire()
            parcels.append(self.waiting.get_nowait())
        return parcels

    def over(self, parcels: Iterable[_Parcel], unsent: Iterable[_Parcel]) -> None:
        """Parcels are not on their way any more; of them, some were not sent. News are sent once at most."""
        self.unsent += (parcel.job.id for parcel in unsent if not parcel.job.state.ended)
        for _ in parcels:
            self._free.release()
            self.waiting.task_done()


class Dispatcher:
    """Publishes in the background. The rows decide: a message too many, too late or too few does no harm.

    Args:
        broker: Where to.
        metrics: Measures it.
        tracing: Makes its spans.
    """

    def __init__(
        self,
        broker: Broker,
        metrics: JobMetrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._broker = broker
        self._metrics = metrics or JobMetrics(Instruments())
        self._tracing = tracing or Tracing()
        self._prompt, self._patient = _Line(_PROMPT_AT_ONCE), _Line(_PATIENT_AT_ONCE)

    def dispatch(self, job: Job, request_id: str | None, place: Place | None = None) -> None:
        """Has a stored job published soon, on behalf of a request and at its place in a trace. One too many to be kept
        here is left unsent."""
        line = self._line(job.lane)
        try:
            line.waiting.put_nowait(_Parcel(job, request_id, place))
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

    def keep_unsent(self, lanes: frozenset[Lane], unsent: Iterable[UUID]) -> None:
        """Takes back what `take_unsent` gave."""
        (self._prompt if lanes == PROMPT else self._patient).unsent.extendleft(unsent)

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
        # A task may be counted for a moment after it has made room.
        async with Background(limit=2 * line.at_once) as groups:
            while True:
                # None waits for the broker to confirm those before, or for what takes long to encode.
                for parcels in _groups(await line.next_parcels()):
                    groups.spawn("dispatch", self._send(line, parcels))

    async def _send(self, line: _Line, parcels: list[_Parcel]) -> None:
        unsent = parcels
        traced = self._tracing.spans(
            "publish jobs",
            (parcel.place for parcel in parcels),
            kind=SpanKind.PRODUCER,
            attributes=_PUBLISH,
        )
        try:
            with traced as place_of, self._metrics.step("publish"):
                unsent = await self._publish(parcels, place_of)
        except Unavailable:
            pass
        finally:
            line.over(parcels, unsent)

    async def _publish(self, parcels: Sequence[_Parcel], place_of: PlaceOf) -> list[_Parcel]:
        """Publishes what can be; returns the rest, without what the broker refuses.

        Raises:
            Unavailable: The broker is away.
        """
        jobs: list[tuple[_Parcel, Outgoing]] = []
        news: list[tuple[_Parcel, Outgoing]] = []
        unsent = []
        for parcel in parcels:
            try:
                if parcel.job.state.ended:
                    news.append((parcel, _announcement(parcel.job)))
                else:
                    jobs.append((parcel, await self._message(parcel, place_of(parcel.place))))
            except Exception:
                # One job's defect must not hold up the others.
                log.exception("not published", job=str(parcel.job.id))
                unsent.append(parcel)
        for some, confirm in ((jobs, True), (news, False)):
            if some:
                errors = await self._broker.publish_all([one for _, one in some], confirm=confirm)
                # What a full queue refuses is not tried again at once, but when its row is due.
                unsent += [
                    parcel
                    for (parcel, _), error in zip(some, errors, strict=True)
                    if error and not isinstance(error, Refused)
                ]
        faults.reach("dispatch.published", (parcel.job.user for parcel, _ in jobs))
        return unsent

    async def _message(self, parcel: _Parcel, place: Place | None) -> Outgoing:
        job = parcel.job
        headers: dict[str, str | int] = {messages.VERSION_HEADER: job.version}
        if parcel.request_id is not None:
            headers[REQUEST_ID_HEADER] = parcel.request_id
        if place is not None:
            headers.update(place.headers)
        return Outgoing(
            JOBS.name,
            QUEUE_OF[job.lane].name,
            await _encoded(job),
            headers=headers,
            message_id=str(job.id),
            reply_to=self._broker.reply_to,
            mandatory=True,
        )


def _groups(parcels: Sequence[_Parcel]) -> Iterator[list[_Parcel]]:
    if quick := [parcel for parcel in parcels if not parcel.job.shown]:
        yield quick
    for parcel in parcels:
        if parcel.job.shown:
            yield [parcel]


def _announcement(job: Job) -> Outgoing:
    return Outgoing(
        RECOMMENDER_EVENTS.name,
        f"recommendation.{job.catalog}",
        messages.encode_announcement(job),
        headers={messages.VERSION_HEADER: VERSION},
        persistent=False,
    )


async def _encoded(job: Job) -> bytes:
    if not job.shown:
        return messages.encode_job(job)
    # It may be a catalog's worth of items: other calls go on meanwhile.
    return await asyncio.to_thread(messages.encode_job, job)
