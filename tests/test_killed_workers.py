"""Workers that die with jobs in hand."""

import asyncio
import os
import signal
from collections.abc import Sequence
from itertools import count

import asyncpg
import pytest

from demo.data import CATALOG, films
from recmesh_client import AsyncClient, Recommendation
from recmesh_jobs.states import State
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")

CALLERS = 4
LEAST = 100
"""Jobs of each caller."""
HELD = "SELECT id FROM recommender.jobs WHERE state = $1 LIMIT 1 FOR UPDATE SKIP LOCKED"
THEIRS = "SELECT array_agg(pid) FROM pg_stat_activity WHERE usename = 'recmesh_worker'"
CUT = "SELECT pg_terminate_backend(pid, 60000) FROM unnest($1::int[]) AS pid"


async def kill_in_the_middle(database: asyncpg.Connection, workers: Sequence[int]) -> None:
    """Kills workers that have a job in hand: halts them and looks, until it is so."""
    while True:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        async with database.transaction():
            if await database.fetchval(HELD, State.RUNNING) is not None:
                # That job's end may be on its way already: it waits for our lock, and goes with their connections.
                theirs = await database.fetchval(THEIRS)
                for pid in workers:
                    os.kill(pid, signal.SIGKILL)
                await database.execute(CUT, theirs)
                return
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.01)


async def until_whole(mesh: LocalMesh, killed: list[int]) -> None:
    """Returns once others have come in the place of killed workers: the next tests are to find the mesh as it was."""

    def whole() -> bool:
        workers = mesh.members("worker")
        return all(one.state == "healthy" and one.pid not in killed for one in workers)

    async with asyncio.timeout(300):
        while not whole():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)


async def test_killed_workers_lose_and_double_nothing(
    admin: AsyncClient, local_mesh: LocalMesh, database: asyncpg.Connection
) -> None:
    titles = [film.title for film in films()[:20]]
    await local_mesh.followed()
    expected = {
        title: [result.item for result in (await admin.recommend(CATALOG, title=title)).results]
        for title in titles
    }
    created: list[tuple[str, Recommendation]] = []
    killed = asyncio.Event()

    async def submit() -> None:
        for n in count():
            if killed.is_set() and n >= LEAST:
                return
            title = titles[n % 20]
            created.append((title, await admin.create_recommendation(CATALOG, title=title)))

    workers = [member.pid for member in local_mesh.members("worker") if member.pid]
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(submit())
        await kill_in_the_middle(database, workers)
        killed.set()

    # One connection carries some hundred streams at the most.
    watching = asyncio.Semaphore(100)

    async def end(job: Recommendation) -> Recommendation:
        async with watching:
            return await admin.wait_for(job, timeout=300)

    ended = await asyncio.gather(*(end(job) for _, job in created))
    assert len({job.name for _, job in created}) == len(created) >= CALLERS * LEAST
    for (title, _), job in zip(created, ended, strict=True):
        assert [result.item for result in job.results] == expected[title]
    assert any(job.attempt_count > 1 for job in ended)
    await until_whole(local_mesh, workers)
