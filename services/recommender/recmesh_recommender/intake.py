"""Jobs going in: admitted, stored with their neighbours, dispatched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recmesh_jobs import intake
from recmesh_jobs.intake import Stored, Submission, request_key
from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane
from recmesh_kit import context, faults
from recmesh_kit.batcher import Batcher
from recmesh_kit.database import Database
from recmesh_kit.errors import RecmeshError
from recmesh_kit.telemetry.place import Place, current_place
from recmesh_kit.telemetry.tracing import Tracing
from recmesh_recommender.admission import Admission
from recmesh_recommender.dispatch import Dispatcher
from recmesh_recommender.errors import DeadlineOutOfRange, RequestIdReused, TooManyJobs
from recmesh_recommender.metrics import JobMetrics
from recmesh_recommender.orders import MAX_DEADLINE

MAX_WAITING_RUNS = 100
"""Bulk runs that wait to be stored, one after the other."""
GATHER_SECONDS = 0.002
"""How long jobs are gathered while many come: a group costs nearly as much as several jobs of it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job that is to be stored, unless its request id stands for another.

    Attributes:
        job: The job.
        request_id: The caller's; empty for none.
        fingerprint: Hash of what is asked, to tell a reused request id.
    """

    job: Job
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What is stored together, on behalf of one call."""

    submissions: Sequence[Submission]
    request_id: str | None
    place: Place | None


class Intake:
    """Stores jobs. What was accepted is stored and dispatched even if its caller goes away.

    Args:
        database: Where the jobs are.
        admission: Says how many are taken.
        dispatcher: Publishes them.
        insert_batch: Most jobs of callers that wait, stored together.
        max_waiting: Most of them that wait to be stored.
        metrics: Measures it.
        tracing: Makes its spans.
    """

    def __init__(
        self,
        database: Database,
        admission: Admission,
        dispatcher: Dispatcher,
        *,
        insert_batch: int,
        max_waiting: int,
        metrics: JobMetrics,
        tracing: Tracing,
    ) -> None:
        self._database = database
        self._admission = admission
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._tracing = tracing
        self._singles: Batcher[_Parcel, Sequence[Stored]] = Batcher(
            "intake",
            self._store,
            max_batch=insert_batch,
            max_waiting=max_waiting,
            gather_seconds=GATHER_SECONDS,
        )
        # On their own, so that nobody who waits is stored behind a thousand others.
        self._runs: Batcher[_Parcel, Sequence[Stored]] = Batcher(
            "bulk intake", self._store, max_batch=1, max_waiting=MAX_WAITING_RUNS
        )
        # Together, as there are most of them when there is most to do: of those who are turned away, each may repeat.
        self._repeats: Batcher[Submission, Stored | None] = Batcher(
            "looking for repeats", self._find, max_batch=insert_batch, max_waiting=max_waiting
        )

    async def aclose(self) -> None:
        """Stores what was accepted, and takes nothing more."""
        await self._singles.aclose()
        await self._runs.aclose()
        await self._repeats.aclose()

    async def take(self, draft: Draft) -> Stored:
        """Stores a job, or finds the one that the request id stands for.

        Raises:
            DeadlineOutOfRange: It is past, or too far.
            RequestIdReused: For something else.
            TooManyJobs: With RetryInfo.
            Unavailable: The database is away.
        """
        submission = _submission(draft)
        try:
            _check_deadline(draft.job)
            with self._admission.admitted(draft.job.lane):
                (stored,) = await self._singles.submit(_parcel([submission]))
        except (DeadlineOutOfRange, TooManyJobs):
            # A repeated call makes no job: it is answered with the first one, whatever may be stored by now.
            if submission.key is None:
                raise
            earlier = await self._repeats.submit(submission)
            if earlier is None:
                raise
            stored = earlier
        _check_same(draft, stored)
        return stored

    async def take_run(self, drafts: Sequence[Draft]) -> list[Stored | RecmeshError]:
        """Stores bulk jobs in one go, the first ones if not all fit. Answers for each what `take` answers or raises.

        Raises:
            TooManyJobs: None is stored, and there is room for none.
            Unavailable: The database is away.
        """
        submissions = [_submission(draft) for draft in drafts]
        earlier = await self._find(submissions)
        outcomes: list[Stored | RecmeshError | None] = [
            known or _late(draft) for draft, known in zip(drafts, earlier, strict=True)
        ]
        new = [place for place, outcome in enumerate(outcomes) if outcome is None]
        try:
            stored = await self._store_fitting([submissions[place] for place in new])
        except TooManyJobs:
            if not any(earlier):
                raise
            stored = []
        for place, outcome in zip(new, stored, strict=False):
            outcomes[place] = outcome
        if None in outcomes:
            full = self._admission.refusal(Lane.BULK)
            outcomes = [outcome or full for outcome in outcomes]
        return [
            _judged(draft, outcome)
            for draft, outcome in zip(drafts, outcomes, strict=True)
            if outcome is not None
        ]

    async def _store_fitting(self, new: Sequence[Submission]) -> Sequence[Stored]:
        if not new:
            return []
        with self._admission.admitted(Lane.BULK, len(new)) as fitting:
            return await self._runs.submit(_parcel(new[:fitting]))

    async def _find(self, submissions: Sequence[Submission]) -> list[Stored | None]:
        async with self._database.driver() as connection:
            return await intake.find(connection, submissions)

    async def _store(self, parcels: list[_Parcel]) -> list[Sequence[Stored]]:
        submissions = [s for parcel in parcels for s in parcel.submissions]
        self._metrics.batch(len(submissions))
        traced = self._tracing.spans("store jobs", (parcel.place for parcel in parcels))
        with traced, self._metrics.step("store"):
            async with self._database.driver() as connection:
                stored = iter(await intake.store(connection, submissions))
        faults.reach("intake.stored", (submission.job.user for submission in submissions))
        outcomes: list[Sequence[Stored]] = []
        for parcel in parcels:
            outcomes.append([next(stored) for _ in parcel.submissions])
            for submission, outcome in zip(parcel.submissions, outcomes[-1], strict=True):
                if outcome.is_new:
                    self._dispatcher.dispatch(submission.job, parcel.request_id, parcel.place)
        return outcomes


def _submission(draft: Draft) -> Submission:
    key = None
    if draft.request_id:
        key = request_key(draft.job.catalog, context.caller().id, draft.request_id)
    return Submission(draft.job, key, draft.fingerprint)


def _check_deadline(job: Job) -> None:
    if not job.create_time < job.deadline <= job.create_time + MAX_DEADLINE:
        raise DeadlineOutOfRange


def _late(draft: Draft) -> RecmeshError | None:
    try:
        _check_deadline(draft.job)
    except DeadlineOutOfRange as error:
        return error
    return None


def _check_same(draft: Draft, stored: Stored) -> None:
    if not stored.same_request:
        raise RequestIdReused(draft.request_id)


def _judged(draft: Draft, outcome: Stored | RecmeshError) -> Stored | RecmeshError:
    if isinstance(outcome, Stored) and not outcome.same_request:
        return RequestIdReused(draft.request_id)
    return outcome


def _parcel(submissions: Sequence[Submission]) -> _Parcel:
    """On behalf of the call in hand."""
    call = context.current_call()
    return _Parcel(submissions, None if call is None else call.request_id, current_place())
