"""The rules of looking after queues: what stands in them, and what is put back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from recmesh_jobs.dead_letters import DeadLetter, DeadLetterRepository, Position, Which
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import Lane
from recmesh_kit import context
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.errors import NotFound
from recmesh_recommender.admission import Admission
from recmesh_recommender.dispatch import Dispatcher
from recmesh_recommender.orders import Terms, job_name
from recmesh_recommender.queues.figures import Figures, depths, figures

log = structlog.get_logger()

AT_ONCE = 500
"""Jobs that are put back in one transaction."""
MOST_COUNTED = 100_000
"""As far as jobs and dead letters are counted, so that a look at them costs no more when there are too many."""


class QueueService:
    """For admins of the deployment: the contract lets nobody else in.

    Args:
        database: Where the jobs are.
        broker: Asked how its queues stand.
        dispatcher: Publishes what is put back.
        admission: Says how many jobs there is room for.
        terms: What is promised to jobs.
    """

    def __init__(
        self,
        database: Database,
        *,
        broker: Broker,
        dispatcher: Dispatcher,
        admission: Admission,
        terms: Terms,
    ) -> None:
        self._database = database
        self._broker = broker
        self._dispatcher = dispatcher
        self._admission = admission
        self._deadlines = _deadlines(terms)
        self._ttl = terms.ttl

    async def figures(self) -> Figures:
        """How the queues stand, without the broker too.

        Raises:
            Unavailable: The database is away.
        """
        found = await depths(self._broker)
        async with self._database.transaction() as session:
            standing = await JobRepository(session).standing(MOST_COUNTED)
            dead = await DeadLetterRepository(session).count_standing(MOST_COUNTED)
        return figures(found, standing, dead, self._admission.limit)

    async def page(
        self, catalog: str | None, before: Position | None, limit: int, most_bytes: int
    ) -> Sequence[DeadLetter]:
        """As `DeadLetterRepository.page`.

        Raises:
            Unavailable: The database is away.
        """
        async with self._database.transaction() as session:
            return await DeadLetterRepository(session).page(catalog, before, limit, most_bytes)

    async def redrive_named(self, names: Collection[tuple[str, UUID]], *, dry_run: bool) -> int:
        """Puts the given-up jobs of these names back, and says how many; those that were put back before, and were not
        given up again, are left alone.

        Args:
            names: Each a catalog's id and a job's.
            dry_run: Only say how many.

        Raises:
            NotFound: One of them is no dead letter. None is put back.
            TooManyJobs: As `redrive`.
            Unavailable: The database is away.
        """
        ids = [id_ for _, id_ in names]
        async with self._database.transaction() as session:
            known = await DeadLetterRepository(session).catalogs(ids)
        for catalog, id_ in names:
            if known.get(id_) != catalog:
                raise NotFound(job_name(catalog, id_))
        return await self.redrive(ids, dry_run=dry_run)

    async def redrive(self, which: Which, *, dry_run: bool) -> int:
        """Puts given-up jobs back, those first that were given up first, as far as there is room for them; says how
        many. What is given up anew meanwhile is left for the next time.

        Some at a time: what is put back when the call ends early stays so, and a repeat goes on from there.

        Args:
            which: Which.
            dry_run: Only say how many there are, room or not.

        Raises:
            TooManyJobs: There is room for none. With RetryInfo.
            Unavailable: The database is away.
        """
        async with self._database.transaction() as session:
            repository = DeadLetterRepository(session)
            if dry_run:
                return await repository.count(which, MOST_COUNTED)
            until = await repository.now()
        done = 0
        while True:
            async with self._database.transaction() as session:
                ids = await DeadLetterRepository(session).failed(which, until, AT_ONCE)
            if not ids:
                break
            with self._admission.readmitted(len(ids)) as fitting:
                if not fitting:
                    break
                async with self._database.transaction() as session:
                    jobs = await DeadLetterRepository(session).put_back(
                        ids[:fitting], self._deadlines, self._ttl
                    )
            done += len(jobs)
            await self._dispatcher.dispatch_again(jobs)
        if ids and not done:
            raise self._admission.refusal(Lane.BULK)
        log.info("put back", jobs=done, by=context.caller().id)
        return done


def _deadlines(terms: Terms) -> Mapping[Lane, timedelta]:
    # Suspect jobs are taken one at a time: many of them have to wait for long.
    return {**terms.deadline, Lane.SUSPECT: max(terms.deadline.values())}
