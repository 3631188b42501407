"""Jobs in hand: claimed, computed and ended, a batch at a time. The rows decide, the messages only call."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Person, events_of
from recmesh_jobs.job import Claim, Ended, Failure
from recmesh_jobs.leases import EXPIRED, LeaseRepository
from recmesh_jobs.messages import Dispatched, Finished
from recmesh_kit.broker import Delivery
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.telemetry.place import current_place
from recmesh_kit.telemetry.tracing import Tracing
from recmesh_worker import converters
from recmesh_worker.answering import Answering
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, EngineQuery, SeedKind
from recmesh_worker.metrics import JobMetrics
from recmesh_worker.replies import News, Replies

log = structlog.get_logger()

STORE_AGAIN_SECONDS = 0.5
"""How long to wait before what could not be stored is stored again."""
TURN_BYTES = 8 * 1024
"""Of answers that are written down at a stretch: about half a millisecond."""
BROKEN = Failure(
    reasons.ERROR_REASON_INTERNAL, "Ranking failed on our side; it is logged under the job's id."
)

_PROCESS = {
    "messaging.system": "rabbitmq",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
}
"""Of a span (OpenTelemetry's conventions for messaging)."""

Memories = Mapping[str, CatalogMemory]
"""The catalogs of a batch, by id."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A job as its message tells it.

    Attributes:
        delivery: The message.
        job: What it says.
        query: What the engine is asked; a failure when that is nothing that this worker knows.
    """

    delivery: Delivery
    job: Dispatched
    query: EngineQuery | Failure


@dataclass(frozen=True, slots=True)
class Task:
    """A job that is ours: what was asked, the lease, and what the engine is asked, the history included."""

    asked: Asked
    claim: Claim
    query: EngineQuery | Failure


class JobBatch:
    """Does batches of jobs.

    Args:
        database: Where the jobs are.
        answering: Computes answers.
        replies: Tells who waits.
        worker: Who holds the leases.
        lease_seconds: For how long.
        metrics: Measures it.
        tracing: Makes its spans.
    """

    def __init__(
        self,
        database: Database,
        answering: Answering,
        replies: Replies,
        *,
        worker: str,
        lease_seconds: float,
        metrics: JobMetrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._metrics = metrics or JobMetrics.off()
        self._tracing = tracing or Tracing()
        self._database = database
        self._answering = answering
        self._replies = replies
        self._worker = worker
        self._lease = lease_seconds

    async def do(self, asked: Sequence[Asked], memories: Memories) -> None:
        """Does jobs. A message is acknowledged once what came of its job is stored.

        Args:
            asked: The jobs. The encoder is ready if one of them needs it.
            memories: Their catalogs.

        Raises:
            Unavailable: The database is away. Messages that are not acknowledged go back to the queue.
        """
        self._metrics.batch(len(asked))
        traced = self._tracing.spans(
            "process jobs",
            (one.delivery.place for one in asked),
            kind=SpanKind.CONSUMER,
            attributes={**_PROCESS, "messaging.batch.message_count": len(asked)},
        )
        with self._answering.in_hand(), traced:
            await self._do(asked, memories)

    async def _do(self, asked: Sequence[Asked], memories: Memories) -> None:
        until = time.monotonic() + self._lease
        tasks = await self._claim(asked)
        if not tasks:
            return
        try:
            slow = await self._to_encode(tasks, memories)
        except asyncio.CancelledError:
            await self._release(tasks)
            raise
        # What is resolved by a look into memory does not wait for words to be encoded.
        quick = [task for task in tasks if task.claim.id not in slow]
        if len(quick) in (0, len(tasks)):
            await self._finish(tasks, memories, encode=bool(slow), until=until)
            return
        wordy = [task for task in tasks if task.claim.id in slow]
        done = await asyncio.gather(
            self._finish(quick, memories, encode=False, until=until),
            self._finish(wordy, memories, encode=True, until=until),
            return_exceptions=True,
        )
        for error in done:
            if error is not None:
                raise error

    async def _claim(self, asked: Sequence[Asked]) -> list[Task]:
        """The jobs that are ours now. Those cancelled, ended, leased elsewhere or doubled need nothing more."""
        ids = {one.job.id for one in asked}
        wanted = {one.job.id for one in asked if _needs_history(one.query)}
        with self._metrics.stage("claim"):
            async with self._database.driver() as connection:
                leases = LeaseRepository(connection, self._worker)
                claimed = await leases.claim(sorted(ids), self._lease, histories=wanted)
        with self._metrics.stage("history"):
            histories = {who: events_of(columns) for who, columns in claimed.histories.items()}
        claims = dict(claimed.claims)
        expired = {ended.id: ended for ended in claimed.expired}
        tasks, others = [], []
        news: list[News] = []
        for one in asked:
            claim = claims.pop(one.job.id, None)
            if claim is not None:
                self._metrics.claimed(one.job, _kind(one.query), claim)
                tasks.append(Task(one, claim, _with_history(one, histories)))
                continue
            others.append(one)
            if (ended := expired.pop(one.job.id, None)) is not None:
                self._metrics.ended(one.job, _kind(one.query), "", ended)
                news.append((one.delivery.reply_to, one.job, Finished(ended, failure=EXPIRED)))
        await self._replies.tell(news)
        for one in others:
            await one.delivery.ack()
        return tasks

    async def _to_encode(self, tasks: Sequence[Task], memories: Memories) -> set[UUID]:
        """Ids of the jobs that need the encoder."""
        slow: set[UUID] = set()
        for catalog, some in _by_catalog(tasks).items():
            queries = [query for _, query in some]
            places = await self._answering.to_encode(memories[catalog], queries)
            slow |= {some[place][0].claim.id for place in places}
        return slow

    async def _finish(
        self, tasks: Sequence[Task], memories: Memories, *, encode: bool, until: float
    ) -> None:
        try:
            outcomes, models = await self._compute(tasks, memories, encode=encode)
            ended = await self._store(tasks, outcomes, until)
        except asyncio.CancelledError:
            await self._release(tasks)
            raise
        by_id = {
            task.claim.id: (task.asked, outcome)
            for task, outcome in zip(tasks, outcomes, strict=True)
        }
        for one in ended:
            asked = by_id[one.id][0]
            self._metrics.ended(asked.job, _kind(asked.query), models.get(one.id, ""), one)
        traced = self._tracing.spans("publish replies", [current_place()], kind=SpanKind.PRODUCER)
        with traced, self._metrics.stage("reply"):
            await self._replies.tell([_news(*by_id[one.id], one) for one in ended])
        for task in tasks:
            await task.asked.delivery.ack()

    async def _compute(
        self, tasks: Sequence[Task], memories: Memories, *, encode: bool
    ) -> tuple[list[bytes | Failure], Mapping[UUID, str]]:
        """What comes of the jobs, in order, and by which models, by job."""
        began = time.monotonic()
        answers: dict[UUID, Answer | Exception] = {}
        with self._tracing.spans("rank jobs", [current_place()]):
            for catalog, some in _by_catalog(tasks).items():
                queries = [query for _, query in some]
                found = await self._answering.answer(memories[catalog], queries, encode=encode)
                answers |= {task.claim.id: one for (task, _), one in zip(some, found, strict=True)}
        took = timedelta(seconds=time.monotonic() - began)
        outcomes = []
        written = 0
        for task in tasks:
            outcomes.append(outcome := _outcome(task, answers.get(task.claim.id), took))
            written += len(outcome) if isinstance(outcome, bytes) else 0
            if written > TURN_BYTES:
                # Two hundred results take milliseconds to write down: others have their turn before the next.
                written = 0
                await asyncio.sleep(0)
        models = {id_: one.model for id_, one in answers.items() if isinstance(one, Answer)}
        return outcomes, models

    async def _store(
        self, tasks: Sequence[Task], outcomes: Sequence[bytes | Failure], until: float
    ) -> list[Ended]:
        """Writes what came of the jobs, all or nothing. While the database is away it is tried again, for as long as
        the jobs are ours: giving up means to compute all of it once more.
        """
        while True:
            try:
                with self._metrics.stage("write"):
                    return await self._store_once(tasks, outcomes)
            except Unavailable:
                if time.monotonic() + STORE_AGAIN_SECONDS >= until:
                    raise
            await asyncio.sleep(STORE_AGAIN_SECONDS)

    async def _store_once(
        self, tasks: Sequence[Task], outcomes: Sequence[bytes | Failure]
    ) -> list[Ended]:
        answers = [
            (t.claim, o) for t, o in zip(tasks, outcomes, strict=True) if isinstance(o, bytes)
        ]
        failures = [
            (t.claim, o) for t, o in zip(tasks, outcomes, strict=True) if isinstance(o, Failure)
        ]
        async with self._database.driver() as connection:
            leases = LeaseRepository(connection, self._worker)
            if not failures:
                return await leases.succeed(answers)
            async with connection.transaction():
                return await leases.succeed(answers) + await leases.fail(failures)

    async def _release(self, tasks: Sequence[Task]) -> None:
        """Gives jobs back: to be stopped in the middle is no attempt. The relay dispatches them again at once."""
        with suppress(Unavailable):
            async with self._database.driver() as connection:
                await LeaseRepository(connection, self._worker).release([t.claim for t in tasks])
        log.info("jobs given back", jobs=len(tasks))


def _by_catalog(tasks: Sequence[Task]) -> Mapping[str, list[tuple[Task, EngineQuery]]]:
    """The tasks that the engine can be asked, by catalog, each with what it is asked."""
    found = defaultdict(list)
    for task in tasks:
        if isinstance(task.query, EngineQuery):
            found[task.asked.job.catalog].append((task, task.query))
    return found


def _kind(query: EngineQuery | Failure) -> str:
    """What a query starts from, for the metrics."""
    return query.kind.value if isinstance(query, EngineQuery) else "unknown"


def _person(asked: Asked) -> Person:
    return asked.job.catalog, asked.job.user


def _needs_history(query: EngineQuery | Failure) -> bool:
    """Whether it matters what the person did: as a seed, or as what they have seen."""
    return isinstance(query, EngineQuery) and (
        query.kind is SeedKind.HISTORY or not query.include_seen
    )


def _with_history(
    asked: Asked, histories: Mapping[Person, tuple[Event, ...]]
) -> EngineQuery | Failure:
    query = asked.query
    if not isinstance(query, EngineQuery) or not _needs_history(query):
        return query
    history = histories.get(_person(asked))
    return replace(query, history=history) if history else query


def _outcome(task: Task, answer: Answer | Exception | None, took: timedelta) -> bytes | Failure:
    job, query = task.asked.job, task.query
    if isinstance(query, Failure):
        return query
    try:
        if not isinstance(answer, Answer):
            raise answer or LookupError("no answer")
        queued = max(task.claim.start_time - job.create_time, timedelta())
        message = converters.answer_message(answer, job.catalog, queued=queued, ranked=took)
        return message.SerializeToString()
    except Exception:
        told = task.asked.delivery
        log.exception(
            "job failed",
            job=str(job.id),
            request_id=told.request_id,
            trace_id=told.place and told.place.trace_id,
        )
        return BROKEN


def _news(asked: Asked, outcome: bytes | Failure, ended: Ended) -> News:
    finished = (
        Finished(ended, failure=outcome)
        if isinstance(outcome, Failure)
        else Finished(ended, answer=outcome)
    )
    return asked.delivery.reply_to, asked.job, finished
