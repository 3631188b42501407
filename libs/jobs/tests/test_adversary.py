"""All who change jobs, at once and at random: workers, sweepers, and people who cancel, delete and put back."""

import asyncio
import datetime as dt
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import text

from libs.jobs.tests.rows import job, stored
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.dead_letters import DeadLetterRepository
from recmesh_jobs.job import Claim, Failure, Job
from recmesh_jobs.leases import Again, LeaseRepository
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.database import Database

JOBS = 20
ROUNDS = 60
LIMIT = 3
BROKEN = Failure(reasons.ERROR_REASON_INTERNAL, "Broken.")
DAY = dt.timedelta(days=1)


@dataclass
class Mesh:
    """Jobs, and what was told of them."""

    database: Database
    dice: random.Random
    jobs: list[Job]
    ends: Counter[UUID] = field(default_factory=Counter)
    """How often each was said to have ended."""
    put_back: Counter[UUID] = field(default_factory=Counter)
    deleted: set[UUID] = field(default_factory=set)

    def some(self) -> list[UUID]:
        return [one.id for one in self.dice.sample(self.jobs, self.dice.randint(1, JOBS // 2))]

    def ended(self, ids: Sequence[UUID]) -> None:
        self.ends.update(ids)

    async def work(self, worker: str, *, alone: bool) -> None:
        """A worker that is slow, forgetful, and now and then does the same twice."""
        held: list[Claim] = []
        for _ in range(ROUNDS):
            async with self.database.driver() as connection:
                leases = LeaseRepository(connection, worker)
                claimed = await leases.claim(self.some(), 0.02, suspects=alone)
                self.ended([one.id for one in claimed.expired])
                held = [*held, *claimed.claims.values()][-JOBS:]
                picked = {c.id: c for c in self.dice.sample(held, len(held) // 2)}
                some = list(picked.values())
                match self.dice.randrange(12):
                    case 0 | 1 | 2 | 3:
                        self.ended(
                            [one.id for one in await leases.fail([(c, BROKEN) for c in some])]
                        )
                    case 4 | 5 | 6 | 7:
                        again = [Again(c, 0, self.dice.random() < 0.3, "") for c in some]
                        self.ended(list((await leases.retry(again, LIMIT)).ended))
                    case 8:
                        await leases.release(some)
                    case 9 | 10:
                        await leases.renew(some, 0.02)
                    case _:
                        self.ended(
                            [one.id for one in await leases.succeed([(c, b"") for c in some])]
                        )
            await asyncio.sleep(self.dice.random() * 0.01)

    async def look_after(self) -> None:
        """A recommender's rounds."""
        for _ in range(ROUNDS):
            async with self.database.transaction() as session:
                sweep = SweepRepository(session)
                ended = [*await sweep.expire(), *await sweep.give_up_lost(LIMIT)]
                await sweep.requeue_lost(LIMIT, 0)
                await sweep.hurry(self.some())
                await sweep.due(list(Lane), 0)
            self.ended([one.id for one in ended])
            await asyncio.sleep(self.dice.random() * 0.01)

    async def meddle(self) -> None:
        """People, who go home early: what fails then stays so."""
        for _ in range(ROUNDS // 2):
            [id_, *others] = self.some()
            async with self.database.transaction() as session:
                back: list[Job] = []
                cancelled = None
                gone = False
                match self.dice.randrange(30):
                    case 0:
                        cancelled = await JobRepository(session).cancel(id_)
                    case 1:
                        cancelled = await JobRepository(session).cancel(id_)
                        gone = await JobRepository(session).delete(id_)
                    case _:
                        back = await DeadLetterRepository(session).put_back(
                            [id_, *others], dict.fromkeys(Lane, DAY), DAY
                        )
            self.ended([id_] if cancelled else [])
            self.put_back.update(one.id for one in back)
            self.deleted |= {id_} if gone else set()
            await asyncio.sleep(self.dice.random() * 0.01)


@pytest.mark.parametrize("seed", range(3))
async def test_each_life_of_a_job_has_one_end_whoever_comes_in_between(
    database: Database, seed: int
) -> None:
    jobs = [job(catalog=f"adversary{seed}") for _ in range(JOBS)]
    await stored(database, *jobs)
    mesh = Mesh(database, random.Random(seed), jobs)  # noqa: S311 - it guards nothing
    async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
        for worker in ("a", "a", "b"):
            for alone in (False, True):
                tasks.create_task(mesh.work(worker, alone=alone))
        for _ in range(2):
            tasks.create_task(mesh.look_after())
            tasks.create_task(mesh.meddle())
    async with database.transaction() as session:
        rows = await session.execute(
            text(
                "SELECT j.id, j.state, j.attempts, d.job_id IS NOT NULL AND d.redrive_time IS NULL AS stands"
                " FROM recommender.jobs j LEFT JOIN recommender.dead_letters d ON d.job_id = j.id"
                " WHERE j.catalog = :catalog"
            ),
            {"catalog": jobs[0].catalog},
        )
        found = {row.id: row for row in rows}
        letters = await session.execute(
            text("SELECT job_id FROM recommender.dead_letters WHERE catalog = :catalog"),
            {"catalog": jobs[0].catalog},
        )
        buried = set(letters.scalars())
    assert set(found) == {one.id for one in jobs} - mesh.deleted
    assert not buried & mesh.deleted
    for id_, row in found.items():
        lives = 1 + mesh.put_back[id_]
        assert mesh.ends[id_] == lives - (not State(row.state).ended)
        assert row.stands is (row.state == State.FAILED)
        assert row.attempts <= LIMIT
