from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from sdk.python.tests.fake import Failure, Fake, Hang

from recmesh.auth.v1.user_service_pb2 import ExportUserDataResponse
from recmesh.catalog.v1.catalog_service_pb2 import ExportItemsResponse
from recmesh.catalog.v1.interaction_service_pb2 import ExportInteractionsResponse
from recmesh.catalog.v1.item_pb2 import Item as WireItem
from recmesh.recommender.v1.recommendation_pb2 import Recommendation as Wire
from recmesh_client import (
    AsyncClient,
    DeadlineExceeded,
    NotFound,
    State,
    Unavailable,
    UserDocument,
)

NAME = "catalogs/films/recommendations/1"
QUEUED = Wire(name=NAME, state=Wire.STATE_QUEUED)
RUNNING = Wire(name=NAME, state=Wire.STATE_RUNNING)
DONE = Wire(name=NAME, state=Wire.STATE_SUCCEEDED)
AWAY = Failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


async def test_a_watch_shows_each_state_once(client: AsyncClient, fake: Fake) -> None:
    fake.script("WatchRecommendation", [QUEUED, RUNNING, DONE])
    states = [job.state async for job in client.watch(NAME)]
    assert states == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


async def test_a_watch_goes_on_after_a_break(client: AsyncClient, fake: Fake) -> None:
    fake.script("WatchRecommendation", [QUEUED, AWAY], AWAY, [QUEUED, RUNNING, AWAY], [DONE])
    states = [job.state async for job in client.watch(NAME)]
    assert states == [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    assert {call.request.name for call in fake.calls} == {NAME}


async def test_a_watch_outlives_the_servers_restart(client: AsyncClient, fake: Fake) -> None:
    hang = Hang()
    fake.script("WatchRecommendation", [QUEUED, hang], [RUNNING, DONE])
    states = []
    async for job in client.watch(NAME):
        states.append(job.state)
        if job.state is State.QUEUED:
            await asyncio.wait_for(hang.asked.wait(), 30)
            await fake.stop()
            await fake.start()
    assert states == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


async def test_a_watch_ends_at_its_deadline(client: AsyncClient, fake: Fake) -> None:
    fake.always("WatchRecommendation", lambda _: [QUEUED, Hang()])
    with pytest.raises(DeadlineExceeded):
        [job async for job in client.watch(NAME, timeout=0.3)]


async def test_a_watch_of_nothing_is_not_repeated(client: AsyncClient, fake: Fake) -> None:
    fake.script("WatchRecommendation", Failure(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"))
    with pytest.raises(NotFound):
        [job async for job in client.watch(NAME)]


async def test_a_watch_that_nobody_listens_to_is_cancelled(client: AsyncClient, fake: Fake) -> None:
    hang = Hang()
    fake.script("WatchRecommendation", [QUEUED, hang])
    watching = client.watch(NAME)
    await anext(watching)
    assert isinstance(watching, AsyncIterator)
    await asyncio.wait_for(hang.asked.wait(), 30)
    del watching
    await asyncio.wait_for(hang.cancelled.wait(), 30)


async def test_an_export_goes_on_from_its_revision(client: AsyncClient, fake: Fake) -> None:
    first = ExportItemsResponse(items=[WireItem(name="catalogs/films/items/a")], revision=7)
    second = ExportItemsResponse(deleted_names=["catalogs/films/items/b"], revision=9)
    fake.script("ExportItems", [first, AWAY], [second])
    parts = [part async for part in client.export_items("films", after_revision=3)]
    assert [call.request.after_revision for call in fake.calls] == [3, 7]
    assert [item.id for part in parts for item in part.items] == ["a"]
    assert parts[1].deleted_ids == ("b",)


async def test_an_export_of_interactions_goes_on_from_its_token(
    client: AsyncClient, fake: Fake
) -> None:
    part = ExportInteractionsResponse(resume_token="t-1")
    fake.script("ExportInteractions", [part, AWAY], [part])
    assert len([part async for part in client.export_interactions("films")]) == 2
    assert [call.request.resume_token for call in fake.calls] == ["", "t-1"]


async def test_an_export_that_cannot_go_on_says_so(client: AsyncClient, fake: Fake) -> None:
    document = ExportUserDataResponse(service="auth", kind="user", document=b'{"a": 1}')
    fake.script("ExportUserData", AWAY, [document, AWAY])
    stream = client.export_user_data()
    assert await anext(stream) == UserDocument("auth", "user", '{"a": 1}')
    with pytest.raises(Unavailable):
        await anext(stream)
