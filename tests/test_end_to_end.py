"""The mesh as its users meet it: real processes, real servers, real films."""

import asyncio
import os
import signal
import time

import grpc
import pytest

from demo.films import CATALOG, films
from demo.mesh import Mesh
from recmesh.catalog.v1 import catalog_service_pb2 as catalog_pb
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Reason, Recommendation
from recmesh_kit.testing import reason_of
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")

PARENT = f"catalogs/{CATALOG}"


async def test_a_misspelt_title_is_understood(user: Mesh) -> None:
    answer = await user.recommend(CATALOG, Query(title="spirted awy", limit=5))
    assert answer.state == Recommendation.STATE_SUCCEEDED
    assert answer.resolved_title == "Spirited Away"
    assert 0.7 < answer.resolve_confidence < 1
    assert len(answer.results) == 5
    titles = [result.title for result in answer.results]
    assert "Spirited Away" not in titles
    assert "My Neighbor Totoro" in titles or "Princess Mononoke" in titles
    first = answer.results[0].reasons[0]
    assert first.type == Reason.TYPE_SIMILAR_TO
    assert first.item == answer.resolved_item


async def test_a_title_in_another_script_means_the_same_film(user: Mesh) -> None:
    answer = await user.recommend(CATALOG, Query(title="чужой"))
    assert answer.resolved_title == "Alien"
    assert answer.resolve_confidence == 1


async def test_words_find_films_about_them(user: Mesh) -> None:
    answer = await user.recommend(CATALOG, Query(text="a heist inside a dream", limit=3))
    assert "Inception" in [result.title for result in answer.results]
    assert answer.results[0].reasons[0].type == Reason.TYPE_MATCHES_TEXT


async def test_nothing_known_is_answered_by_popular_films_and_said(user: Mesh) -> None:
    answer = await user.recommend(CATALOG, Query(item=f"{PARENT}/items/no-such-film"))
    assert answer.fallback == Recommendation.FALLBACK_POPULAR
    assert len(answer.results) == 10


async def test_excluded_items_stay_away(user: Mesh) -> None:
    first = await user.recommend(CATALOG, Query(title="Alien", limit=5))
    shown = [result.item for result in first.results]
    again = await user.recommend(CATALOG, Query(title="Alien", limit=5, exclude_items=shown))
    assert not {result.item for result in again.results} & set(shown)
    assert first.resolved_item not in {result.item for result in again.results}


async def test_a_created_job_can_be_watched_and_read_and_listed(user: Mesh) -> None:
    created = await user.recommender.CreateRecommendation(
        pb.CreateRecommendationRequest(
            parent=PARENT,
            recommendation=Recommendation(query=Query(title="Ran"), session="visit-1"),
        ),
        metadata=user.metadata,
        timeout=10,
    )
    assert created.state == Recommendation.STATE_QUEUED
    seen = [
        job.state
        async for job in user.recommender.WatchRecommendation(
            pb.WatchRecommendationRequest(name=created.name), metadata=user.metadata, timeout=10
        )
    ]
    assert seen[-1] == Recommendation.STATE_SUCCEEDED
    read = await user.recommender.GetRecommendation(
        pb.GetRecommendationRequest(name=created.name), metadata=user.metadata, timeout=10
    )
    assert len(read.results) == 10
    assert read.timings.total.ToMilliseconds() >= read.timings.rank.ToMilliseconds()
    listed = await user.recommender.ListRecommendations(
        pb.ListRecommendationsRequest(parent=PARENT, session="visit-1"),
        metadata=user.metadata,
        timeout=10,
    )
    assert [job.name for job in listed.recommendations] == [created.name]


async def test_a_job_is_its_owners_alone(user: Mesh, local_mesh: LocalMesh) -> None:
    mine = await user.recommend(CATALOG, Query(title="Ran"))
    async with Mesh(local_mesh.targets) as other:
        await other.register("eve@example.org", "correct horse")
        await other.login("eve@example.org", "correct horse")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await other.recommender.GetRecommendation(
                pb.GetRecommendationRequest(name=mine.name), metadata=other.metadata, timeout=10
            )
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(failed.value) == "RESOURCE_NOT_FOUND"


async def test_a_repeated_request_makes_one_job(user: Mesh) -> None:
    answers = await asyncio.gather(
        *(user.recommend(CATALOG, Query(title="Stalker"), request_id="once") for _ in range(8))
    )
    assert len({answer.name for answer in answers}) == 1
    assert {answer.state for answer in answers} == {Recommendation.STATE_SUCCEEDED}


async def test_a_new_item_is_served_and_a_deleted_one_is_not(admin: Mesh) -> None:
    item = Item(
        title="The Lighthouse Keeper's Whale",
        genres=["Fantasy"],
        description="A lonely lighthouse keeper befriends a singing whale that only he can hear.",
    )
    await admin.catalog.CreateItem(
        catalog_pb.CreateItemRequest(parent=PARENT, item_id="whale", item=item),
        metadata=admin.metadata,
        timeout=10,
    )
    query = Query(text="lighthouse keeper and a singing whale", limit=3)

    async def served(wanted: bool) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            answer = await admin.recommend(CATALOG, query)
            if (f"{PARENT}/items/whale" in {r.item for r in answer.results}) is wanted:
                return
        pytest.fail(f"served is not {wanted}")

    await served(True)
    await admin.catalog.DeleteItem(
        catalog_pb.DeleteItemRequest(name=f"{PARENT}/items/whale"),
        metadata=admin.metadata,
        timeout=10,
    )
    await served(False)


async def settled_answers(mesh: Mesh, titles: list[str]) -> dict[str, list[str]]:
    """The answers once both workers give the same: each follows the catalog at its own pace."""
    answers: dict[str, list[str]] = {}
    same = 0
    while same < 5:
        before = answers
        answers = {
            title: [r.item for r in (await mesh.recommend(CATALOG, Query(title=title))).results]
            for title in titles
        }
        same = same + 1 if answers == before else 0
    return answers


async def kill_in_the_middle(mesh: Mesh, workers: list[int]) -> None:
    """Kills workers at a moment at which they have jobs in hand: halts them and looks, until it is so."""
    while True:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        newest = await mesh.recommender.ListRecommendations(
            pb.ListRecommendationsRequest(parent=PARENT, page_size=300),
            metadata=mesh.metadata,
            timeout=10,
        )
        if any(job.state == Recommendation.STATE_RUNNING for job in newest.recommendations):
            break
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.01)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


async def test_killed_workers_lose_and_double_nothing(admin: Mesh, local_mesh: LocalMesh) -> None:
    titles = [film.title for film in films()[:20]]
    expected = await settled_answers(admin, titles)
    created = []

    async def submit() -> None:
        for n in range(300):
            title = titles[n % 20]
            request = pb.CreateRecommendationRequest(
                parent=PARENT, recommendation=Recommendation(query=Query(title=title))
            )
            created.append(
                (
                    title,
                    await admin.recommender.CreateRecommendation(
                        request, metadata=admin.metadata, timeout=30
                    ),
                )
            )

    submitting = asyncio.gather(*(submit() for _ in range(4)))
    await kill_in_the_middle(admin, [m.pid for m in local_mesh.members("worker") if m.pid])
    await submitting

    # One connection carries some hundred streams at the most.
    watching = asyncio.Semaphore(100)

    async def end(name: str) -> Recommendation:
        async with watching:
            watch = admin.recommender.WatchRecommendation(
                pb.WatchRecommendationRequest(name=name), metadata=admin.metadata, timeout=90
            )
            return [job async for job in watch][-1]

    ended = await asyncio.gather(*(end(job.name) for _, job in created))
    assert len({job.name for _, job in created}) == 1200
    assert {job.state for job in ended} == {Recommendation.STATE_SUCCEEDED}
    for (title, _), job in zip(created, ended, strict=True):
        assert [result.item for result in job.results] == expected[title]
    assert any(job.attempt_count > 1 for job in ended)
