"""The rules of recommendations: who may ask, what is admitted, who waits for what."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from uuid import UUID

from recmesh_jobs.intake import Stored
from recmesh_jobs.job import Job
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import Lane, State
from recmesh_kit import context
from recmesh_kit.database import Database
from recmesh_kit.errors import NotFound, RecmeshError
from recmesh_kit.ids import uuid7
from recmesh_kit.names import join
from recmesh_kit.principal import Principal
from recmesh_recommender.catalogs import Catalogs
from recmesh_recommender.chains import next_link
from recmesh_recommender.dispatch import Dispatcher
from recmesh_recommender.errors import JobEnded, JobNotFinished, JobNotSucceeded, Stopping
from recmesh_recommender.intake import Draft, Intake
from recmesh_recommender.orders import Continuation, Order, Terms, job_name
from recmesh_recommender.reader import Reader
from recmesh_recommender.waiting import Waiter, WaitingRoom

_ANSWER_SHARE = 0.05
_ANSWER_SECONDS = (0.05, 1.0)
"""How much of the caller's time is kept to answer that the job has not ended: a share of it, within bounds."""


class RecommendationService:
    """Recommendations. Batched work (storing, waiting, dispatching) is done by the parts that it is given."""

    def __init__(
        self,
        database: Database,
        *,
        catalogs: Catalogs,
        intake: Intake,
        dispatcher: Dispatcher,
        reader: Reader,
        room: WaitingRoom,
        terms: Terms,
    ) -> None:
        self._database = database
        self._catalogs = catalogs
        self._intake = intake
        self._dispatcher = dispatcher
        self._reader = reader
        self._room = room
        self._terms = terms

    async def create(self, order: Order) -> Job:
        """Stores a job, or finds the one that the request id stands for.

        Raises:
            NotFound: The catalog.
            PermissionDenied: Acting for another.
            DeadlineOutOfRange: It is past, or too far.
            RequestIdReused: For something else.
            TooManyJobs: With RetryInfo.
            Unavailable: The database is away.
        """
        caller = await self._check_readable(order.catalog)
        return await self._take(self._draft(order, caller, Lane.INTERACTIVE))

    async def create_run(self, catalog: str, orders: Sequence[Order]) -> list[Job | RecmeshError]:
        """Stores jobs that nobody waits for, as many as are admitted. Answers for each the job, without its answer, or
        why there is none: what `create` raises.

        Args:
            catalog: The catalog's id.
            orders: What is asked, all in that catalog.

        Raises:
            NotFound: The catalog.
            TooManyJobs: None is stored, and there is room for none.
            Unavailable: The database is away.
        """
        caller = await self._check_readable(catalog)
        drafts = [self._draft(order, caller, Lane.BULK) for order in orders]
        outcomes = await self._intake.take_run(drafts)
        earlier = await self._reader.many(
            [o.job_id for o in outcomes if isinstance(o, Stored) and not o.is_new], answers=False
        )
        jobs = earlier | {draft.job.id: draft.job for draft in drafts}
        return [
            jobs.get(outcome.job_id, NotFound(job_name(catalog, outcome.job_id)))
            if isinstance(outcome, Stored)
            else outcome
            for outcome in outcomes
        ]

    async def continue_from(self, continuation: Continuation) -> Job:
        """Stores a job with the query of another, whose answer repeats nothing of the chain that it continues.

        Somebody waits for one more answer: it is no bulk job, whatever that one was.

        Raises:
            NotFound: There is none, or not for this caller.
            JobNotSucceeded: It has no answer, or not yet.
            Exception: As `create`.
        """
        catalog = continuation.catalog
        await self._check_readable(catalog)
        job_id = _uuid(catalog, continuation.id)
        async with self._database.transaction() as transaction:
            found = await JobRepository(transaction).with_shown(job_id)
        before = self._one(found, catalog, job_id)
        self._check_visible(before)
        if before.state is not State.SUCCEEDED:
            raise JobNotSucceeded(job_name(catalog, job_id), f"STATE_{before.state.name}")
        link = await asyncio.to_thread(next_link, before, continuation.limit)
        job = replace(
            self._new(catalog, before.user, before.session, Lane.INTERACTIVE, link.query),
            continues=before.id,
            shown=link.shown,
        )
        return await self._take(Draft(job, continuation.request_id, link.fingerprint))

    async def recommend(self, order: Order) -> Job:
        """Stores a job and waits for its end.

        Raises:
            JobNotFinished: A little before the caller's deadline.
            NotFound: The job is deleted meanwhile.
            Stopping: The server stops first.
            Exception: As `create`.
        """
        caller = await self._check_readable(order.catalog)
        draft = self._draft(order, caller, Lane.INTERACTIVE)
        with self._room.waiting_for(draft.job.id) as waiter:
            waiter.job = draft.job
            stored = await self._intake.take(draft)
            if stored.is_new:
                return await self._wait(waiter, draft.job)
        with self._room.waiting_for(stored.job_id) as waiter:
            waiter.job = await self._read(order.catalog, stored.job_id)
            return waiter.job if waiter.job.state.ended else await self._wait(waiter, waiter.job)

    async def get(self, catalog: str, id: str) -> Job:  # noqa: A002 - what it is
        """A job.

        Raises:
            NotFound: There is none, or not for this caller.
        """
        await self._check_readable(catalog)
        job = await self._read(catalog, _uuid(catalog, id))
        self._check_visible(job)
        return job

    async def page(
        self,
        catalog: str,
        *,
        user: str,
        session: str,
        before: UUID | None,
        limit: int,
        most_bytes: int,
    ) -> Sequence[Job]:
        """Jobs of a catalog that the caller may see, the newest first.

        Args:
            catalog: The catalog's id.
            user: Only this person's; empty for all that the caller may see.
            session: Only this visit's; empty for all.
            before: Only those older than this one.
            limit: How many at the most.
            most_bytes: As `JobRepository.page`.

        Raises:
            NotFound: The catalog.
        """
        caller = await self._check_readable(catalog)
        if not caller.is_above_user(catalog):
            if user not in ("", caller.id):
                return []
            user = caller.id
        async with self._database.transaction() as transaction:
            jobs = await JobRepository(transaction).page(
                catalog,
                user=user or None,
                session=session or None,
                before=before,
                limit=limit,
                most_bytes=most_bytes,
            )
        self._room.forget(*(job.id for job in jobs))
        return jobs

    async def watch(self, catalog: str, id: str) -> AsyncGenerator[Job]:  # noqa: A002 - what it is
        """A job as it stands now, and at each change of its state that is seen, to its end.

        Raises:
            NotFound: There is none, or not for this caller; or not any more.
            Stopping: The server stops first.
        """
        await self._check_readable(catalog)
        job_id = _uuid(catalog, id)
        with self._room.waiting_for(job_id) as waiter:
            fresh = self._room.fresh(job_id)
            job = self._one(fresh, catalog, job_id) if fresh else await self._read(catalog, job_id)
            self._check_visible(job)
            waiter.job = job
            waiter.begin(job)
            yield job
            if job.state.ended:
                return
            async for job in waiter.changes():
                yield job
        if not job.state.ended:
            raise _let_go(waiter, job)

    async def cancel(self, catalog: str, id: str) -> Job:  # noqa: A002 - what it is
        """Ends an unfinished job.

        Raises:
            NotFound: There is none, or not for this caller.
            JobEnded: It has ended otherwise.
        """
        await self._check_readable(catalog)
        job_id = _uuid(catalog, id)
        self._check_visible(await self._read(catalog, job_id))
        async with self._database.transaction() as transaction:
            cancelled = await JobRepository(transaction).cancel(job_id)
        # What has ended meanwhile is read anew.
        job = cancelled or await self._read(catalog, job_id)
        if job.state is not State.CANCELLED:
            raise JobEnded(job_name(catalog, job_id), f"STATE_{job.state.name}")
        self._room.tell(job)
        if cancelled is not None:
            self._dispatcher.announce([cancelled])
        return job

    async def delete(self, catalog: str, id: str) -> None:  # noqa: A002 - what it is
        """Deletes a job and all that came of it; an unfinished one is cancelled first. What was continued from it
        stays. Its request id stands for it still, so that a late repeat does not make it anew.

        Raises:
            NotFound: There is none, or not for this caller.
        """
        await self._check_readable(catalog)
        job_id = _uuid(catalog, id)
        self._check_visible(await self._read(catalog, job_id))
        async with self._database.transaction() as transaction:
            repository = JobRepository(transaction)
            cancelled = await repository.cancel(job_id)
            deleted = await repository.delete(job_id)
        if not deleted:
            raise NotFound(job_name(catalog, job_id))
        if cancelled is not None:
            self._room.tell(cancelled)
            self._dispatcher.announce([cancelled])
        self._room.tell_gone(job_id)

    async def _check_readable(self, catalog: str) -> Principal:
        caller = context.caller()
        await self._catalogs.check_readable(catalog, caller)
        return caller

    def _check_visible(self, job: Job) -> None:
        caller = context.caller()
        if job.user != caller.id and not caller.is_above_user(job.catalog):
            raise NotFound(job_name(job.catalog, job.id))

    def _draft(self, order: Order, caller: Principal, lane: Lane) -> Draft:
        """The job that an order makes, if it makes one."""
        user = caller.acting_for(order.user, order.catalog)
        job = self._new(order.catalog, user, order.session, lane, order.query)
        if order.deadline is not None:
            job = replace(job, deadline=order.deadline)
        return Draft(job, order.request_id, order.fingerprint)

    def _new(self, catalog: str, user: str, session: str, lane: Lane, query: bytes) -> Job:
        now = dt.datetime.now(dt.UTC)
        return Job(
            id=uuid7(now),
            catalog=catalog,
            user=user,
            session=session,
            lane=lane,
            query=query,
            deadline=now + self._terms.deadline[lane],
            create_time=now,
            expire_time=now + self._terms.ttl,
        )

    async def _take(self, draft: Draft) -> Job:
        """Stores the job, or reads the one that the request id stands for."""
        stored = await self._intake.take(draft)
        if not stored.is_new:
            return await self._read(draft.job.catalog, stored.job_id)
        self._room.remember(draft.job)
        return draft.job

    async def _read(self, catalog: str, id: UUID) -> Job:  # noqa: A002 - what it is
        return self._one(await self._reader.one(id), catalog, id)

    def _one(self, found: Job | None, catalog: str, id: UUID) -> Job:  # noqa: A002 - what it is
        # Who has seen how a job stands must not be told later how it stood before.
        self._room.forget(id)
        if found is None or found.catalog != catalog:
            raise NotFound(job_name(catalog, id))
        return found

    @staticmethod
    async def _wait(waiter: Waiter, job: Job) -> Job:
        waiter.begin(job)
        left = context.remaining()
        assert left is not None
        low, high = _ANSWER_SECONDS
        keep = min(max(left * _ANSWER_SHARE, low), high)
        try:
            async with asyncio.timeout(max(0.0, left - keep)):
                ended = await waiter.end()
        except TimeoutError:
            raise JobNotFinished(job_name(job.catalog, job.id)) from None
        if ended is None:
            raise _let_go(waiter, job)
        return ended


def _let_go(waiter: Waiter, job: Job) -> RecmeshError:
    """Why a wait has ended before the job."""
    name = job_name(job.catalog, job.id)
    return NotFound(name) if waiter.gone else Stopping(name)


def _uuid(catalog: str, text: str) -> UUID:
    try:
        found = UUID(text)
    except ValueError:
        raise NotFound(join("catalogs", catalog, "recommendations", text)) from None
    if str(found) != text:
        raise NotFound(join("catalogs", catalog, "recommendations", text))
    return found
