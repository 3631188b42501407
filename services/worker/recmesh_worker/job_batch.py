"""Jobs in hand: claimed, computed and ended, a batch at a time. The rows decide, the messages only call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind

from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Columns, Person, events_of
from recmesh_jobs.job import ATTEMPT_LIMIT, Claim, Ended, Failure
from recmesh_jobs.lanes import tier_of
from recmesh_jobs.leases import EXPIRED, Again, Claimed, LeaseRepository
from recmesh_jobs.messages import Finished
from recmesh_kit import faults
from recmesh_kit.database import Database
from recmesh_kit.layout import SUSPECT
from recmesh_kit.passing import is_passing
from recmesh_kit.tasks import end_if_cancelled
from recmesh_kit.telemetry.place import current_place
from recmesh_kit.telemetry.tracing import Tracing
from recmesh_worker.answering import Answering
from recmesh_worker.asked import Asked, Task, by_catalog, task_of, users
from recmesh_worker.company import Company
from recmesh_worker.delays import Delayed, Delays
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer
from recmesh_worker.metrics import JobMetrics
from recmesh_worker.outcome import BROKEN, Outcome, TryAgain, outcome_of, outcomes_of_error
from recmesh_worker.renewal import Renewal
from recmesh_worker.replies import News, Replies

log = structlog.get_logger()

STORE_AGAIN_SECONDS = 0.5
"""How long to wait before what could not be stored is stored again."""
RELAY_SECONDS = 10.0
"""How much later than its message a job that is tried again is dispatched by its row, should that be lost."""
RELEASE_SECONDS = 1.0
"""How long it is tried to give jobs back: whoever is being stopped has no more time."""
TURN_BYTES = 8 * 1024
"""Of answers that are written down at a stretch: about half a millisecond."""

_PROCESS = {
    "messaging.system": "rabbitmq",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
}
"""Of a span (OpenTelemetry's conventions for messaging)."""

Memories = Mapping[str, CatalogMemory]
"""The catalogs of a batch, by id."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is stored of a batch: the jobs that have ended, each with what came of it, and those that are queued
    again, by id."""

    ended: Sequence[tuple[Ended, bytes | Failure]]
    again: frozenset[UUID] = frozenset()


class JobBatch:
    """Does batches of jobs.

    Args:
        database: Where the jobs are.
        answering: Computes answers.
        replies: Tells who waits.
        delays: Puts off what is tried again.
        worker: Who holds the leases.
        lease_seconds: For how long.
        attempt_limit: Attempts after which a job is given up.
        company: Of the batches in this process.
        alone: Whether these are suspects, and are done with nobody beside.
        metrics: Measures it.
        tracing: Makes its spans.
    """

    def __init__(
        self,
        database: Database,
        answering: Answering,
        replies: Replies,
        delays: Delays,
        *,
        worker: str,
        lease_seconds: float,
        attempt_limit: int = ATTEMPT_LIMIT,
        company: Company | None = None,
        alone: bool = False,
        metrics: JobMetrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._metrics = metrics or JobMetrics.off()
        self._tracing = tracing or Tracing()
        self._database = database
        self._answering = answering
        self._replies = replies
        self._delays = delays
        self._worker = worker
        self._lease = lease_seconds
        self._attempt_limit = attempt_limit
        company = company or Company()
        self._room = company.alone if alone else company.together
        self._alone = alone

    async def do(self, asked: Sequence[Asked], memories: Memories) -> None:
        """Does jobs. A message is acknowledged once what came of its job is stored.

        Args:
            asked: The jobs. The encoder is ready if one of them needs it.
            memories: Their catalogs.

        Raises:
            Unavailable: The database is away, or the broker. Messages that are not settled are still to be: whatever
                became of their jobs, the rows say it.
        """
        async with self._room():
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
        began = time.monotonic()
        claimed = await self._claim(asked)
        if not claimed.claims:
            await self._pass_over(asked, claimed)
            return
        claims = list(claimed.claims.values())
        leases = Renewal(self._database, self._worker, self._lease, claims, began)
        try:
            tasks = self._tasks(asked, claimed)
            ours = {task.asked.delivery for task in tasks}
            if len(ours) < len(asked):
                await self._pass_over([one for one in asked if one.delivery not in ours], claimed)
            await self._work(tasks, memories, leases)
        except asyncio.CancelledError:
            await self._release(claims)
            raise
        finally:
            await leases.aclose()

    async def _claim(self, asked: Sequence[Asked]) -> Claimed:
        ids = {one.job.id for one in asked}
        wanted = {one.job.id for one in asked if one.needs_history}
        with self._metrics.stage("claim"):
            async with self._database.driver() as connection:
                leases = LeaseRepository(connection, self._worker)
                return await leases.claim(
                    sorted(ids), self._lease, histories=wanted, suspects=self._alone
                )

    def _tasks(self, asked: Sequence[Asked], claimed: Claimed) -> list[Task]:
        """The jobs that are ours now, each by one of its messages."""
        with self._metrics.stage("history"):
            histories = {who: _history(who, columns) for who, columns in claimed.histories.items()}
        claims = dict(claimed.claims)
        tasks = []
        for one in asked:
            claim = claims.pop(one.job.id, None)
            if claim is not None:
                self._metrics.claimed(one.job, one.kind, claim)
                tasks.append(task_of(one, claim, histories))
        return tasks

    async def _pass_over(self, asked: Sequence[Asked], claimed: Claimed) -> None:
        """Acknowledges the messages of jobs that are not ours. Those cancelled, ended, leased elsewhere or doubled need
        nothing more; of those expired it is told."""
        expired = {ended.id: ended for ended in claimed.expired}
        news: list[News] = []
        for one in asked:
            if (ended := expired.pop(one.job.id, None)) is not None:
                self._metrics.ended(one.job, one.kind, ended)
                news.append((one.delivery.reply_to, one.job, Finished(ended, failure=EXPIRED)))
        await self._replies.tell(news)
        for one in asked:
            await one.delivery.ack()

    async def _work(self, tasks: Sequence[Task], memories: Memories, leases: Renewal) -> None:
        try:
            faults.reach("jobs.claimed", users(tasks))
            slow = await self._to_encode(tasks, memories)
        except Exception as error:
            await self._settle(tasks, outcomes_of_error(tasks, error), {}, leases)
            return
        # What is resolved by a look into memory does not wait for words to be encoded.
        quick = [task for task in tasks if task.claim.id not in slow]
        if len(quick) in (0, len(tasks)):
            await self._finish(tasks, memories, leases, encode=bool(slow))
            return
        wordy = [task for task in tasks if task.claim.id in slow]
        ends = await asyncio.gather(
            self._finish(quick, memories, leases, encode=False),
            self._finish(wordy, memories, leases, encode=True),
            return_exceptions=True,
        )
        for end in ends:
            if end is not None:
                raise end

    async def _to_encode(self, tasks: Sequence[Task], memories: Memories) -> set[UUID]:
        """Ids of the jobs that need the encoder."""
        slow: set[UUID] = set()
        for catalog, some in by_catalog(tasks).items():
            queries = [query for _, query in some]
            places = await self._answering.to_encode(memories[catalog], queries)
            slow |= {some[place][0].claim.id for place in places}
        return slow

    async def _finish(
        self, tasks: Sequence[Task], memories: Memories, leases: Renewal, *, encode: bool
    ) -> None:
        answers: Mapping[UUID, Answer] = {}
        try:
            outcomes, answers = await self._compute(tasks, memories, encode=encode)
            faults.reach("jobs.computed", users(tasks))
        except Exception as error:
            outcomes = outcomes_of_error(tasks, error)
        await self._settle(tasks, outcomes, answers, leases)

    async def _compute(
        self, tasks: Sequence[Task], memories: Memories, *, encode: bool
    ) -> tuple[list[Outcome], Mapping[UUID, Answer]]:
        """What comes of the jobs, in order, and the answers that there are, by job."""
        began = time.monotonic()
        answers: dict[UUID, Answer | Exception] = {}
        with self._tracing.spans("rank jobs", [current_place()]):
            for catalog, some in by_catalog(tasks).items():
                queries = [query for _, query in some]
                found = await self._answering.answer(memories[catalog], queries, encode=encode)
                answers |= {task.claim.id: one for (task, _), one in zip(some, found, strict=True)}
        took = timedelta(seconds=time.monotonic() - began)
        outcomes = []
        written = 0
        for task in tasks:
            outcomes.append(outcome := outcome_of(task, answers.get(task.claim.id), took))
            written += len(outcome) if isinstance(outcome, bytes) else 0
            if written > TURN_BYTES:
                # Two hundred results take milliseconds to write down: others have their turn before the next.
                written = 0
                await asyncio.sleep(0)
        return outcomes, {id_: one for id_, one in answers.items() if isinstance(one, Answer)}

    async def _settle(
        self,
        tasks: Sequence[Task],
        outcomes: Sequence[Outcome],
        answers: Mapping[UUID, Answer],
        leases: Renewal,
    ) -> None:
        """Stores what came of the jobs, tells it, and acknowledges their messages."""
        try:
            stored = await self._store(tasks, outcomes, leases)
        except Exception as error:
            if is_passing(error):
                raise
            outcomes = outcomes_of_error(tasks, error)
            stored = await self._store(tasks, outcomes, leases)
        faults.reach("jobs.written", users(tasks))
        asked = {task.claim.id: task.asked for task in tasks}
        for ended, outcome in stored.ended:
            one = asked[ended.id]
            failure = outcome if isinstance(outcome, Failure) else None
            self._metrics.ended(one.job, one.kind, ended, answers.get(ended.id), failure)
        traced = self._tracing.spans("publish replies", [current_place()], kind=SpanKind.PRODUCER)
        with traced, self._metrics.stage("reply"):
            await self._replies.tell(
                [_news(asked[ended.id], ended, o) for ended, o in stored.ended]
            )
        if stored.again:
            await self._put_off(tasks, outcomes, stored.again)
        faults.reach("jobs.acking", users(tasks))
        for task in tasks:
            await task.asked.delivery.ack()

    async def _store(
        self, tasks: Sequence[Task], outcomes: Sequence[Outcome], leases: Renewal
    ) -> _Stored:
        """Writes what came of the jobs, all or nothing. While the database is away it is tried again, for as long as
        the jobs are ours: giving up means to compute all of it once more.

        Raises:
            Unavailable: The leases have run out. The jobs are found by the sweep, or done by somebody else by now.
        """
        while True:
            try:
                with self._metrics.stage("write"):
                    return await self._store_once(tasks, outcomes)
            except Exception as error:
                # Else they would not be given back.
                end_if_cancelled()
                out_of_time = time.monotonic() + STORE_AGAIN_SECONDS >= leases.until
                if out_of_time or not is_passing(error):
                    raise
            await asyncio.sleep(STORE_AGAIN_SECONDS)

    async def _store_once(self, tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> _Stored:
        answers: list[tuple[Claim, bytes]] = []
        failures: list[tuple[Claim, Failure]] = []
        again: list[Again] = []
        ends: dict[UUID, bytes | Failure] = {}
        for task, outcome in zip(tasks, outcomes, strict=True):
            claim = task.claim
            match outcome:
                case TryAgain():
                    wait = tier_of(claim.attempt).seconds + RELAY_SECONDS
                    again.append(Again(claim, wait, outcome.alone, outcome.error))
                    continue
                case Failure():
                    failures.append((claim, outcome))
                case _:
                    answers.append((claim, outcome))
            ends[claim.id] = outcome
        async with self._database.driver() as connection:
            leases = LeaseRepository(connection, self._worker)
            if len(answers) == len(tasks):
                return _Stored([(one, ends[one.id]) for one in await leases.succeed(answers)])
            async with connection.transaction():
                ended = await leases.succeed(answers) + await leases.fail(failures)
                retried = await leases.retry(again, self._attempt_limit)
        return _Stored(
            [*((one, ends[one.id]) for one in ended), *retried.ended.values()],
            frozenset(retried.again),
        )

    async def _put_off(
        self, tasks: Sequence[Task], outcomes: Sequence[Outcome], again: frozenset[UUID]
    ) -> None:
        """Sends the messages of jobs that are queued again round by their tiers. One that is lost is found by its
        row."""
        await self._delays.send(
            [
                Delayed(
                    task.asked.delivery,
                    tier_of(task.claim.attempt),
                    SUSPECT.name if outcome.alone else task.asked.delivery.routing_key,
                )
                for task, outcome in zip(tasks, outcomes, strict=True)
                if task.claim.id in again and isinstance(outcome, TryAgain)
            ]
        )

    async def _release(self, claims: Sequence[Claim]) -> None:
        """Gives jobs back: to be stopped in the middle is no attempt. The relay dispatches them again at once. While
        the database is away it is one, and they are tried again alone when their leases have run out.
        """
        try:
            async with asyncio.timeout(RELEASE_SECONDS), self._database.driver() as connection:
                await LeaseRepository(connection, self._worker).release(claims)
        except Exception as error:
            log.warning("jobs not given back", jobs=len(claims), error=repr(error))
        else:
            log.info("jobs given back", jobs=len(claims))


def _history(person: Person, columns: Columns) -> tuple[Event, ...] | Failure:
    """What a person did. A row that cannot be read breaks their own jobs only."""
    try:
        return events_of(columns)
    except Exception:
        log.exception("history not read", catalog=person[0])
        return BROKEN


def _news(asked: Asked, ended: Ended, outcome: bytes | Failure) -> News:
    finished = (
        Finished(ended, failure=outcome)
        if isinstance(outcome, Failure)
        else Finished(ended, answer=outcome)
    )
    return asked.delivery.reply_to, asked.job, finished
