"""The rules of recommendations: who may ask, what is admitted, who waits for what."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from recmesh_jobs.intake import Stored, Submission, find, request_key, store
from recmesh_jobs.job import Job
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import Lane, State
from recmesh_kit import context
from recmesh_kit.batcher import Batcher
from recmesh_kit.database import Database
from recmesh_kit.errors import NotFound
from recmesh_kit.ids import uuid7
from recmesh_kit.names import join
from recmesh_kit.principal import Principal
from recmesh_recommender.admission import Admission
from recmesh_recommender.catalogs import Catalogs
from recmesh_recommender.dispatch import Dispatcher
from recmesh_recommender.errors import (
    DeadlineOutOfRange,
    JobEnded,
    JobNotFinished,
    RequestIdReused,
    Stopping,
    TooManyJobs,
)
from recmesh_recommender.orders import MAX_DEADLINE, Order, Terms, job_name
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
        admission: Admission,
        dispatcher: Dispatcher,
        room: WaitingRoom,
        terms: Terms,
        insert_batch: int,
        max_waiting: int,
    ) -> None:
        self._database = database
        self._catalogs = catalogs
        self._admission = admission
        self._dispatcher = dispatcher
        self._room = room
        self._terms = terms
        self._intake: Batcher[tuple[Submission, str | None], Stored] = Batcher(
            "intake", self._store_group, max_batch=insert_batch, max_waiting=max_waiting
        )

    async def aclose(self) -> None:
        """Stores what was accepted, and takes nothing more."""
        await self._intake.aclose()

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
        job = await self._draft(order)
        stored = await self._place(order, job)
        return job if stored.is_new else await self._read(order.catalog, stored.job_id)

    async def recommend(self, order: Order) -> Job:
        """Stores a job and waits for its end.

        Raises:
            JobNotFinished: A little before the caller's deadline.
            Stopping: The server stops first.
            Exception: As `create`.
        """
        job = await self._draft(order)
        with self._room.waiting_for(job.id) as waiter:
            waiter.job = job
            stored = await self._place(order, job)
            if stored.is_new:
                return await self._wait(waiter, job)
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
        self, catalog: str, *, user: str, session: str, before: UUID | None, limit: int
    ) -> Sequence[Job]:
        """Jobs of a catalog that the caller may see, the newest first.

        Args:
            catalog: The catalog's id.
            user: Only this person's; empty for all that the caller may see.
            session: Only this visit's; empty for all.
            before: Only those older than this one.
            limit: How many at the most.

        Raises:
            NotFound: The catalog.
        """
        caller = await self._check_readable(catalog)
        if not caller.is_above_user(catalog):
            if user not in ("", caller.id):
                return []
            user = caller.id
        async with self._database.transaction() as transaction:
            return await JobRepository(transaction).page(
                catalog, user=user or None, session=session or None, before=before, limit=limit
            )

    async def watch(self, catalog: str, id: str) -> AsyncGenerator[Job]:  # noqa: A002 - what it is
        """A job as it stands now, and at each change of its state that is seen, to its end.

        Raises:
            NotFound: There is none, or not for this caller.
            Stopping: The server stops first.
        """
        await self._check_readable(catalog)
        job_id = _uuid(catalog, id)
        with self._room.waiting_for(job_id) as waiter:
            waiter.job = job = await self._read(catalog, job_id)
            self._check_visible(job)
            waiter.begin(job)
            yield job
            if job.state.ended:
                return
            async for job in waiter.changes():
                yield job
        if not job.state.ended:
            raise Stopping(job_name(catalog, job_id))

    async def cancel(self, catalog: str, id: str) -> Job:  # noqa: A002 - what it is
        """Ends an unfinished job.

        Raises:
            NotFound: There is none, or not for this caller.
            JobEnded: It has ended otherwise.
        """
        await self._check_readable(catalog)
        job_id = _uuid(catalog, id)
        async with self._database.transaction() as transaction:
            repository = JobRepository(transaction)
            found = await repository.get([job_id])
            job = self._one(found, catalog, job_id)
            self._check_visible(job)
            # What has ended meanwhile is read anew.
            cancelled = await repository.cancel(job_id)
            job = cancelled or self._one(await repository.get([job_id]), catalog, job_id)
        if job.state is not State.CANCELLED:
            raise JobEnded(job_name(catalog, job_id), f"STATE_{job.state.name}")
        self._room.tell(job)
        if cancelled is not None:
            self._dispatcher.announce([cancelled])
        return job

    async def _check_readable(self, catalog: str) -> Principal:
        caller = context.caller()
        await self._catalogs.check_readable(catalog, caller)
        return caller

    def _check_visible(self, job: Job) -> None:
        caller = context.caller()
        if job.user != caller.id and not caller.is_above_user(job.catalog):
            raise NotFound(job_name(job.catalog, job.id))

    async def _draft(self, order: Order) -> Job:
        """The job that an order makes, if it makes one."""
        caller = await self._check_readable(order.catalog)
        now = dt.datetime.now(dt.UTC)
        return Job(
            id=uuid7(now),
            catalog=order.catalog,
            user=caller.acting_for(order.user, order.catalog),
            session=order.session,
            lane=Lane.INTERACTIVE,
            query=order.query,
            deadline=order.deadline or now + self._terms.deadline,
            create_time=now,
            expire_time=now + self._terms.ttl,
        )

    async def _place(self, order: Order, job: Job) -> Stored:
        """Stores the job, or finds the one that the request id stands for."""
        key = None
        if order.request_id:
            key = request_key(order.catalog, context.caller().id, order.request_id)
        submission = Submission(job, key, order.fingerprint)
        try:
            if not job.create_time < job.deadline <= job.create_time + MAX_DEADLINE:
                raise DeadlineOutOfRange
            with self._admission.admitted():
                stored = await self._intake.submit((submission, _request_id()))
        except (DeadlineOutOfRange, TooManyJobs):
            # A repeated call makes no job: it is answered with the first one, whatever may be stored by now.
            async with self._database.transaction() as transaction:
                earlier = await find(transaction, submission)
            if earlier is None:
                raise
            stored = earlier
        if not stored.same_request:
            raise RequestIdReused(order.request_id)
        return stored

    async def _store_group(self, group: list[tuple[Submission, str | None]]) -> list[Stored]:
        async with self._database.transaction() as transaction:
            stored = await store(transaction, [submission for submission, _ in group])
        for (submission, request_id), outcome in zip(group, stored, strict=True):
            if outcome.is_new:
                self._dispatcher.dispatch(submission.job, request_id)
        return stored

    async def _read(self, catalog: str, id: UUID) -> Job:  # noqa: A002 - what it is
        async with self._database.transaction() as transaction:
            return self._one(await JobRepository(transaction).get([id]), catalog, id)

    @staticmethod
    def _one(found: Sequence[Job], catalog: str, id: UUID) -> Job:  # noqa: A002 - what it is
        if not found or found[0].catalog != catalog:
            raise NotFound(job_name(catalog, id))
        return found[0]

    @staticmethod
    async def _wait(waiter: Waiter, job: Job) -> Job:
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
            raise Stopping(job_name(job.catalog, job.id))
        return ended


def _request_id() -> str | None:
    call = context.current_call()
    return None if call is None else call.request_id


def _uuid(catalog: str, text: str) -> UUID:
    try:
        found = UUID(text)
    except ValueError:
        raise NotFound(join("catalogs", catalog, "recommendations", text)) from None
    if str(found) != text:
        raise NotFound(join("catalogs", catalog, "recommendations", text))
    return found
