"""Workers that die at each point of a job's way, as processes."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit import layout
from recmesh_kit.database import Database
from recmesh_worker.encoder import Encoder
from services.worker.tests.conftest import Asking, eventually, indexed
from services.worker.tests.processes import LIMIT, Life, living

ATTEMPT_LIMIT = 2
POINTS = {
    # What the row says after the crash, and how often the end is told in all.
    "jobs.claimed": (State.RUNNING, 1),
    "jobs.computed": (State.RUNNING, 1),
    "jobs.written": (State.SUCCEEDED, 0),
    "jobs.acking": (State.SUCCEEDED, 1),
}


@dataclass
class Mesh:
    """Workers that die, and the recommender's part of what happens then."""

    environment: dict[str, str]
    folder: Path
    jobs: Asking
    suspects: Asking
    stack: AsyncExitStack
    lives: list[Life] = field(default_factory=list)
    started: int = 0

    async def start(self) -> None:
        """One worker more."""
        log = self.folder / f"log-{self.started}"
        self.started += 1
        settings = self.environment | {
            "RECMESH_FAULTS": str(self.folder),
            "RECMESH_LEASE_SECONDS": "60",
            "RECMESH_ATTEMPT_LIMIT": str(ATTEMPT_LIMIT),
        }
        self.lives.append(await self.stack.enter_async_context(living(settings, log)))

    def arm(self, point: str, action: str) -> None:
        """Has whoever comes there first do something."""
        (self.folder / point).write_text(action)

    async def one_pauses(self) -> Life:
        """Returns the worker that has stopped itself, once one has."""

        def paused() -> list[Life]:
            stats = {life: Path(f"/proc/{life.process.pid}/stat") for life in self.lives}
            return [life for life, stat in stats.items() if " T " in stat.read_text()]

        async def one() -> bool:
            return bool(paused())

        await eventually(one, LIMIT)
        return paused()[0]

    async def one_dies(self) -> None:
        """Returns once one of the workers has been killed."""

        async def one() -> bool:
            return any(life.process.returncode is not None for life in self.lives)

        await eventually(one, LIMIT)
        [dead] = [life for life in self.lives if life.process.returncode is not None]
        await dead.until_killed()
        self.lives.remove(dead)

    async def sweep(self, *lost: Job) -> list[Job]:
        """What the recommender does once the leases of jobs have run out; says which jobs are tried again."""
        ids = [job.id for job in lost]
        await self.jobs.sql(
            "UPDATE recommender.jobs SET lease_until = now() - interval '1 s'"
            " WHERE id = ANY(:ids) AND state = 2",
            ids=ids,
        )
        async with self.jobs.owner.transaction() as session:
            repository = SweepRepository(session)
            await repository.give_up_lost(ATTEMPT_LIMIT)
            again = await repository.requeue_lost(ATTEMPT_LIMIT, 10)
        again = [job for job in again if job.id in ids]
        assert {job.lane for job in again} <= {Lane.SUSPECT}
        return again

    async def told(self, job: Job) -> int:
        """How often the end of a job was told."""
        return sum(one.ended.id == job.id for some in self.jobs.replies for one in some)

    async def ended(self, *jobs: Job) -> list[Job]:
        """Jobs as they are once all of them have ended."""

        async def all_have() -> bool:
            return all([(await self.jobs.read(job)).state.ended for job in jobs])

        await eventually(all_have, LIMIT)
        return [await self.jobs.read(job) for job in jobs]

    async def stop(self) -> None:
        """Stops all workers."""
        for life in self.lives:
            life.process.send_signal(signal.SIGTERM)
        for life in self.lives:
            assert await life.end() == 0


@pytest.fixture
async def mesh(environment: dict[str, str], jobs: Asking, tmp_path: Path) -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        suspects = replace(jobs, queue=layout.SUSPECT.name)
        made = Mesh(environment, tmp_path, jobs, suspects, stack)
        await made.start()
        yield made


async def test_a_worker_that_dies_leaves_each_job_with_one_end(
    mesh: Mesh, database: Database, catalog: str
) -> None:
    """A pause, and a crash at each point of a job's way; then a poison job, which kills each worker that takes it, with
    those that are in hand beside it."""
    encoder = Encoder()
    encoder.identify()
    async with database.transaction() as session:
        items = [indexed(catalog, name, vector=None) for name in ("alien", "heat")]
        await IndexRepository(session, encoder.id).upsert(catalog, items)
    await mesh.start()

    # One that is stopped for longer than its lease: what it answers late is discarded.
    mesh.arm("jobs.computed@late", "pause")
    late = await mesh.jobs.ask(catalog, Query(title="alien"), user="late")
    paused = await mesh.one_pauses()
    [again] = await mesh.sweep(late)
    # The broker does not know that one of the two will not take it.
    await mesh.suspects.send(again, again)
    [done] = await mesh.ended(late)
    assert (done.state, done.attempts) == (State.SUCCEEDED, 2)
    paused.process.send_signal(signal.SIGCONT)

    for point, (state, times) in POINTS.items():
        mesh.arm(f"{point}@{point}", "crash")
        job = await mesh.jobs.ask(catalog, Query(title="alien"), user=point)
        await mesh.one_dies()
        if point != "jobs.acking":
            await mesh.start()
        before = await mesh.jobs.read(job)
        assert (before.state, before.attempts) == (state, 1), point
        lost = await mesh.sweep(job)
        assert len(lost) == (state is State.RUNNING)
        await mesh.suspects.send(*lost)
        [after] = await mesh.ended(job)
        assert (after.state, after.attempts) == (State.SUCCEEDED, 1 + len(lost)), point
        assert after.answer
        if state is State.SUCCEEDED:
            assert after == before
        elif times:
            await mesh.jobs.heard(job)
        assert await mesh.told(job) <= times, point

    # The one that is left finds them in one batch.
    [life] = mesh.lives
    await life.until_serving()
    life.process.send_signal(signal.SIGSTOP)
    await mesh.one_pauses()
    mesh.arm("jobs.claimed@poison", "crash always")
    # In the middle: wherever what arrives is parted into two batches, it has neighbours.
    users = ["ada", "bob", "poison", "eve", "kim"]
    batch = [await mesh.jobs.store(catalog, Query(title="alien"), user=user) for user in users]
    [poison] = [job for job in batch if job.user == "poison"]
    neighbours = [job for job in batch if job is not poison]
    await mesh.jobs.send(*batch)
    await mesh.jobs.waits(0)
    life.process.send_signal(signal.SIGCONT)
    await mesh.one_dies()
    await mesh.start()
    lost = await mesh.sweep(*batch)
    assert len(lost) > 1, "it had no neighbours"
    # The poison first: it is alone by now.
    await mesh.suspects.send(*sorted(lost, key=lambda job: job.user != "poison"))
    await mesh.one_dies()
    await mesh.start()
    assert not await mesh.sweep(poison)
    *read, dead = await mesh.ended(*neighbours, poison)
    assert {job.state for job in read} == {State.SUCCEEDED}
    assert max(job.attempts for job in read) <= 2
    assert (dead.state, dead.attempts) == (State.FAILED, ATTEMPT_LIMIT)
    assert dead.failure is not None
    assert dead.failure.reason == reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    letters = await mesh.jobs.sql(
        "SELECT user_id FROM recommender.dead_letters WHERE catalog = :catalog", catalog=catalog
    )
    assert letters == [("poison",)]

    assert await mesh.jobs.read(late) == done
    assert await mesh.told(late) == 1
    await mesh.stop()
    # Nothing goes round.
    for queue in layout.topology_of("worker").queues:
        await replace(mesh.jobs, queue=queue.name).waits(0)
