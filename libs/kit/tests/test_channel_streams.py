"""Streams of answers over a channel of `connect`: they go out as unary calls do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog

from libs.kit.tests.calls import CATALOGS, catalogs, drain, listening, stub
from recmesh.catalog.v1.catalog_service_pb2 import ExportItemsRequest, ExportItemsResponse
from recmesh_kit import context
from recmesh_kit.channel import ServiceCredentials, connect
from recmesh_kit.errors import DeadlineExceeded, Unavailable
from recmesh_kit.testing import EDITOR, bearer

FILMS = ExportItemsRequest(parent="catalogs/films")


class Pair:
    access_token = bearer("eve", EDITOR)[0][1].removeprefix("Bearer ")
    expires_in = 600


class Told:
    """A stream that notes what it is told."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.left = 0.0
        self.away = False

    async def export(
        self, _: object, rpc: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ExportItemsResponse]:
        self.metadata = dict(rpc.invocation_metadata() or ())
        self.left = rpc.time_remaining()
        yield ExportItemsResponse(revision=1)

    async def sign_in(self) -> Pair:
        if self.away:
            raise Unavailable("auth is away")
        return Pair()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def channel(told: Told) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        listening(catalogs(ExportItems=told.export)) as address,
        connect(
            address,
            [CATALOGS],
            timeout_seconds=700,
            credentials=ServiceCredentials(told.sign_in),
        ) as opened,
    ):
        yield opened


async def test_a_stream_is_signed_and_has_a_deadline(told: Told, channel: grpc.aio.Channel) -> None:
    structlog.contextvars.bind_contextvars(request_id="r-1")
    (answer,) = await drain(stub(channel).ExportItems(FILMS))
    assert answer.revision == 1
    assert told.metadata["authorization"] == f"Bearer {Pair.access_token}"
    assert told.metadata["x-request-id"] == "r-1"
    assert 600 < told.left < 701
    await drain(stub(channel).ExportItems(FILMS, timeout=300))
    assert 200 < told.left < 301


async def test_a_stream_ends_with_the_call_that_it_is_part_of(
    told: Told, channel: grpc.aio.Channel
) -> None:
    context.begin(context.Call("/a/B", "r-1", time.monotonic() + 400))
    await drain(stub(channel).ExportItems(FILMS))
    assert 300 < told.left < 401
    context.begin(context.Call("/a/B", "r-1", time.monotonic()))
    with pytest.raises(DeadlineExceeded):
        await drain(stub(channel).ExportItems(FILMS))


async def test_a_sign_in_that_fails_is_the_error_of_the_stream(
    told: Told, channel: grpc.aio.Channel
) -> None:
    told.away = True
    with pytest.raises(Unavailable, match="auth is away"):
        await drain(stub(channel).ExportItems(FILMS))
