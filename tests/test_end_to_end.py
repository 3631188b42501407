"""The mesh as its users meet it: real processes, real servers, real films."""

import asyncio

import pytest

from demo.data import CATALOG
from recmesh_client import (
    AsyncClient,
    Client,
    ErrorReason,
    NotFound,
    Order,
    Password,
    Query,
    State,
)
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")

BULK = 100


async def test_excluded_items_stay_away(user: AsyncClient) -> None:
    first = await user.recommend(CATALOG, title="Alien", limit=5)
    shown = [result.item for result in first.results]
    again = await user.recommend(CATALOG, title="Alien", limit=5, exclude_items=shown)
    assert not {result.item for result in again.results} & set(shown)
    assert first.resolved_item not in {result.item for result in again.results}


async def test_a_created_job_can_be_watched_and_read_and_listed(user: AsyncClient) -> None:
    created = await user.create_recommendation(CATALOG, title="Ran", session="visit-1")
    assert created.state is State.QUEUED
    seen = [job.state async for job in user.watch(created, timeout=120)]
    assert seen[-1] is State.SUCCEEDED
    read = await user.get_recommendation(created)
    assert len(read.results) == 10
    assert read.timings is not None
    assert read.timings.total >= read.timings.rank
    listed = [job.name async for job in user.list_recommendations(CATALOG, session="visit-1")]
    assert listed == [created.name]


async def test_a_deleted_job_is_gone(user: AsyncClient) -> None:
    job = await user.recommend(CATALOG, title="Ran")
    await user.delete_recommendation(job)
    with pytest.raises(NotFound):
        await user.get_recommendation(job)


async def test_a_job_is_its_owners_alone(user: AsyncClient, local_mesh: LocalMesh) -> None:
    mine = await user.recommend(CATALOG, title="Ran")
    async with local_mesh.client() as other:
        await other.register("eve@example.org", "correct horse")
        await other.sign_in(Password("eve@example.org", "correct horse"))
        with pytest.raises(NotFound) as raised:
            await other.get_recommendation(mine)
    assert raised.value.reason is ErrorReason.RESOURCE_NOT_FOUND


async def test_a_repeated_request_makes_one_job(user: AsyncClient) -> None:
    answers = await asyncio.gather(
        *(user.recommend(CATALOG, title="Stalker", request_id="once") for _ in range(8))
    )
    assert len({answer.name for answer in answers}) == 1


async def test_a_batch_is_done_beside_what_a_person_waits_for(admin: AsyncClient) -> None:
    orders = [Order(Query(text=f"a story about the number {n}")) for n in range(BULK)]
    batch = await admin.batch_create_recommendations(
        CATALOG, [*orders, Order(Query(title="Alien", limit=1000))]
    )
    assert [(error.row, error.field) for error in batch.errors] == [
        (BULK, "recommendation.query.limit")
    ]
    assert len({job.name for job in batch.recommendations}) == BULK
    assert (await admin.recommend(CATALOG, title="Alien")).results
    ended = await asyncio.gather(
        *(admin.wait_for(job, timeout=300) for job in batch.recommendations)
    )
    assert all(len(job.results) == 10 for job in ended)


def test_the_client_that_waits(local_mesh: LocalMesh, admin: AsyncClient) -> None:
    with Client.connect(local_mesh.targets, credentials=local_mesh.admin) as client:
        answer = client.recommend(CATALOG, title="spirted awy", limit=3)
        assert answer.resolved_title == "Spirited Away"
        again = client.recommend_again(answer)
        assert not {r.item for r in again.results} & {r.item for r in answer.results}
        assert [job.state for job in client.watch(again)] == [State.SUCCEEDED]
        assert next(iter(client.search_items(CATALOG, "spirited"))).item.id == answer.resolved_item
        assert client.get_catalog(CATALOG).item_count >= 500
