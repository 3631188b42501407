from __future__ import annotations

import asyncio
import socket
import time

import grpc
import pytest
from sdk.python.tests.fake import Failure, Fake, Hang, nobody

from recmesh.catalog.v1.catalog_pb2 import Catalog as WireCatalog
from recmesh.catalog.v1.interaction_pb2 import Interaction as WireInteraction
from recmesh.recommender.v1.recommendation_pb2 import Recommendation as Wire
from recmesh.recommender.v1.recommender_service_pb2 import BatchCreateRecommendationsResponse
from recmesh_client import (
    AsyncClient,
    Cancelled,
    DeadlineExceeded,
    Interaction,
    InteractionType,
    Item,
    Order,
    Query,
    Retry,
    TooManyJobs,
    Unavailable,
)
from recmesh_client.wire import contract

AWAY = Failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
DROPPED = Failure(grpc.StatusCode.CANCELLED, message="CANCELLED", request_id="")
"""What becomes of a call that a server has not looked at when it stops."""
JOB = Wire(name="catalogs/films/recommendations/1", state=Wire.STATE_SUCCEEDED)


async def test_what_has_no_side_effects_is_repeated(client: AsyncClient, fake: Fake) -> None:
    fake.script("GetCatalog", AWAY, AWAY, WireCatalog(name="catalogs/films"))
    assert (await client.get_catalog("films")).id == "films"


async def test_what_may_have_happened_is_not(client: AsyncClient, fake: Fake) -> None:
    fake.script("CreateCatalog", AWAY)
    with pytest.raises(Unavailable):
        await client.create_catalog("films")


async def test_what_a_stopping_server_dropped_is_repeated(client: AsyncClient, fake: Fake) -> None:
    fake.script("Recommend", DROPPED, JOB)
    fake.script("WatchRecommendation", DROPPED, [JOB])
    await client.recommend("films", title="Alien")
    assert [seen.name async for seen in client.watch(JOB.name)] == [JOB.name]
    first, second = (call.request.request_id for call in fake.of("Recommend"))
    assert first == second != ""


async def test_what_a_stopping_server_dropped_and_may_not_be_repeated_is_away(
    client: AsyncClient, fake: Fake
) -> None:
    fake.script("CreateCatalog", DROPPED)
    fake.script("ImportItems", DROPPED)
    with pytest.raises(Unavailable, match=rf"^The catalog service at {fake.target} cannot be"):
        await client.create_catalog("films")
    with pytest.raises(Unavailable):
        await client.import_items("films", [])


async def test_what_the_service_itself_cancelled_is_not_repeated(
    client: AsyncClient, fake: Fake
) -> None:
    fake.script("GetCatalog", Failure(grpc.StatusCode.CANCELLED, "CANCELLED"))
    with pytest.raises(Cancelled):
        await client.get_catalog("films")


async def test_a_job_is_repeated_under_one_request_id(client: AsyncClient, fake: Fake) -> None:
    fake.script("Recommend", AWAY, JOB)
    await client.recommend("films", title="Alien")
    first, second = (call.request.request_id for call in fake.of("Recommend"))
    assert first == second != ""


async def test_two_jobs_have_two_request_ids(client: AsyncClient, fake: Fake) -> None:
    fake.script("CreateRecommendation", JOB, JOB)
    await client.create_recommendation("films", title="Alien")
    await client.create_recommendation("films", title="Alien")
    first, second = (call.request.request_id for call in fake.of("CreateRecommendation"))
    assert first != second


async def test_the_callers_request_id_is_kept(client: AsyncClient, fake: Fake) -> None:
    fake.script("ContinueRecommendation", JOB)
    await client.continue_recommendation(JOB.name, request_id="mine")
    assert fake.calls[0].request.request_id == "mine"


async def test_rows_of_a_batch_and_interactions_get_ids(client: AsyncClient, fake: Fake) -> None:
    fake.script("BatchCreateRecommendations", AWAY, BatchCreateRecommendationsResponse())
    fake.script("WriteInteraction", AWAY, WireInteraction())
    await client.batch_create_recommendations("films", [Order(Query(text=t)) for t in "ab"])
    await client.write_interaction("films", Interaction("1", InteractionType.LIKE))
    batches = [call.request.requests for call in fake.of("BatchCreateRecommendations")]
    assert batches[0] == batches[1]
    assert len({row.request_id for row in batches[0]}) == 2
    written = [call.request.interaction_id for call in fake.of("WriteInteraction")]
    assert written[0] == written[1] != ""


async def test_tries_are_counted(fake: Fake) -> None:
    fake.script("GetCatalog", AWAY, AWAY, AWAY)
    async with AsyncClient.connect(fake.target, retry=Retry(attempts=3, base=0.001)) as client:
        with pytest.raises(Unavailable):
            await client.get_catalog("films")


async def test_what_the_server_asks_for_is_waited(client: AsyncClient, fake: Fake) -> None:
    full = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_JOBS", retry_after=0.3)
    fake.script("Recommend", full, JOB)
    began = time.monotonic()
    await client.recommend("films", title="Alien")
    assert time.monotonic() - began > 0.25


async def test_too_much_without_a_hint_is_not_repeated(client: AsyncClient, fake: Fake) -> None:
    fake.script("Recommend", Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_JOBS"))
    with pytest.raises(TooManyJobs):
        await client.recommend("films", title="Alien")


async def test_no_wait_goes_past_the_deadline(client: AsyncClient, fake: Fake) -> None:
    away = Failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=3600)
    fake.script("GetCatalog", away)
    # With a wait until then it would be the deadline that is told.
    with pytest.raises(Unavailable):
        await client.get_catalog("films", timeout=60)


async def test_the_deadline_goes_along(client: AsyncClient, fake: Fake) -> None:
    fake.script("GetCatalog", WireCatalog())
    await client.get_catalog("films", timeout=600)
    # The server counts by a clock of its own, a little apart from ours; the client's default is two minutes.
    assert 150 < fake.calls[0].seconds < 630


async def test_the_deadline_holds(client: AsyncClient, fake: Fake) -> None:
    fake.always("GetCatalog", lambda _: Hang())
    with pytest.raises(DeadlineExceeded):
        await client.get_catalog("films", timeout=0.3)


async def test_the_default_deadline_is_half_a_minute(fake: Fake) -> None:
    fake.script("GetCatalog", WireCatalog())
    async with AsyncClient.connect(fake.target) as client:
        await client.get_catalog("films")
    assert 5 < fake.calls[0].seconds < 35


async def test_no_time_at_all_makes_no_call(client: AsyncClient) -> None:
    with pytest.raises(DeadlineExceeded):
        await client.get_catalog("films", timeout=0)


async def test_a_cancelled_task_cancels_its_call(client: AsyncClient, fake: Fake) -> None:
    hang = Hang()
    fake.script("GetCatalog", hang)
    task = asyncio.create_task(client.get_catalog("films"))
    await asyncio.wait_for(hang.asked.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(hang.cancelled.wait(), 30)


async def test_closing_ends_calls_in_hand_and_later_ones(fake: Fake) -> None:
    hang = Hang()
    fake.script("GetCatalog", hang)
    client = AsyncClient.connect(fake.target)
    task = asyncio.create_task(client.get_catalog("films"))
    await asyncio.wait_for(hang.asked.wait(), 30)
    await client.close()
    with pytest.raises(Cancelled):
        await task
    with pytest.raises(Cancelled):
        await client.get_catalog("films")


async def test_closing_ends_an_import_in_hand(fake: Fake) -> None:
    fake.script("ImportItems", hang := Hang())
    fake.unread = True
    client = AsyncClient.connect(fake.target)
    task = asyncio.create_task(client.import_items("films", [Item("1")]))
    await asyncio.wait_for(hang.asked.wait(), 30)
    await client.close()
    with pytest.raises(Cancelled):
        await task


async def test_closing_ends_an_import_that_has_not_begun() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        client = AsyncClient.connect(f"127.0.0.1:{silent.getsockname()[1]}")
        task = asyncio.create_task(client.import_items("films", [Item("1")]))
        met, _ = await asyncio.get_running_loop().sock_accept(silent)
        with met:
            await client.close()
            with pytest.raises(Cancelled):
                await asyncio.wait_for(task, 30)


async def test_an_address_where_nobody_listens() -> None:
    retry = Retry(attempts=2, base=0.001)
    with nobody() as target:
        async with AsyncClient.connect(target, retry=retry) as client:
            with pytest.raises(Unavailable):
                await client.get_catalog("films")


def test_each_method_has_a_request_type_of_its_own() -> None:
    # What may be repeated is looked up by it.
    methods = [method for service in contract.services() for method in service.methods]
    assert len({method.input_type.full_name for method in methods}) == len(methods)


@pytest.mark.parametrize("retry", [{"attempts": 0}, {"base": 0}, {"limit": -1}])
def test_senseless_retries_are_refused(retry: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Retry(**retry)
