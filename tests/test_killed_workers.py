"""Workers that die with jobs in hand."""

import asyncio
import os
import signal

import pytest

from demo.data import CATALOG, films
from recmesh_client import AsyncClient, Recommendation, State
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")


async def settled_answers(client: AsyncClient, titles: list[str]) -> dict[str, list[str]]:
    """The answers once both workers give the same: each follows the catalog at its own pace."""
    answers: dict[str, list[str]] = {}
    same = 0
    while same < 5:
        before = answers
        answers = {
            title: [
                result.item for result in (await client.recommend(CATALOG, title=title)).results
            ]
            for title in titles
        }
        same = same + 1 if answers == before else 0
    return answers


async def any_running(client: AsyncClient) -> bool:
    async for job in client.list_recommendations(CATALOG, page_size=300):
        if job.state is State.RUNNING:
            return True
    return False


async def kill_in_the_middle(client: AsyncClient, workers: list[int]) -> None:
    """Kills workers at a moment at which they have jobs in hand: halts them and looks, until it is so."""
    while True:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        if await any_running(client):
            break
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.01)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


async def until_whole(mesh: LocalMesh, killed: list[int]) -> None:
    """Returns once others have come in the place of killed workers: the next tests are to find the mesh as it was."""

    def whole() -> bool:
        workers = mesh.members("worker")
        return all(one.state == "healthy" and one.pid not in killed for one in workers)

    async with asyncio.timeout(300):
        while not whole():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)


async def test_killed_workers_lose_and_double_nothing(
    admin: AsyncClient, local_mesh: LocalMesh
) -> None:
    titles = [film.title for film in films()[:20]]
    expected = await settled_answers(admin, titles)
    created: list[tuple[str, Recommendation]] = []

    async def submit() -> None:
        for n in range(300):
            title = titles[n % 20]
            created.append((title, await admin.create_recommendation(CATALOG, title=title)))

    submitting = asyncio.gather(*(submit() for _ in range(4)))
    workers = [member.pid for member in local_mesh.members("worker") if member.pid]
    async with asyncio.timeout(300):
        await kill_in_the_middle(admin, workers)
    await submitting

    # One connection carries some hundred streams at the most.
    watching = asyncio.Semaphore(100)

    async def end(job: Recommendation) -> Recommendation:
        async with watching:
            return await admin.wait_for(job, timeout=300)

    ended = await asyncio.gather(*(end(job) for _, job in created))
    assert len({job.name for _, job in created}) == 1200
    for (title, _), job in zip(created, ended, strict=True):
        assert [result.item for result in job.results] == expected[title]
    assert any(job.attempt_count > 1 for job in ended)
    await until_whole(local_mesh, workers)
