from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from libs.kit.tests.calls import FILMS, catalogs, failure, stub
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh_kit.health import Health
from recmesh_kit.server import serve
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.sockets import prefer_newest
from recmesh_kit.testing import bearer, verifier

TRIES = 20
"""By chance all of so many connections would go to one of two once in a million times."""


def listening_socket(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen(TRIES)
    made.setblocking(False)
    return made


def shares(port: int, *listeners: socket.socket) -> list[int]:
    """How many of so many new connections each of them gets."""
    for _ in range(TRIES):
        socket.create_connection(("127.0.0.1", port)).close()
    taken = dict.fromkeys(listeners, 0)
    # The last of them may not be there yet.
    while sum(taken.values()) < TRIES:
        ready, _, _ = select.select(listeners, (), (), 60)
        assert ready, "some connections went nowhere"
        for listener in ready:
            listener.accept()[0].close()
            taken[listener] += 1
    return list(taken.values())


def test_new_connections_go_to_the_newest_and_then_to_the_one_that_is_left() -> None:
    with listening_socket(0) as first:
        port = first.getsockname()[1]
        prefer_newest(port)
        assert shares(port, first) == [TRIES]
        with listening_socket(port) as second:
            assert shares(port, first, second) == [0, TRIES]
            first.close()
            assert shares(port, second) == [TRIES]
            with listening_socket(port) as third:
                assert shares(port, second, third) == [0, TRIES]


def test_where_nobody_listens_nothing_is_preferred(held_port: int) -> None:
    prefer_newest(held_port)


@asynccontextmanager
async def serving(settings: ServiceSettings, health: Health) -> AsyncIterator[asyncio.Task[None]]:
    """A service, and after the block its end by a signal."""

    async def get(_: object, __: object) -> Catalog:
        return Catalog()

    work = serve(settings, [catalogs(GetCatalog=get)], verifier=verifier, health=health)
    task = asyncio.create_task(work)
    # The handler of the signal is there then.
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            await task


@pytest.fixture
def settings(held_port: int) -> ServiceSettings:
    return ServiceSettings(listen=f"127.0.0.1:{held_port}", share_port=True, drain_seconds=1)


async def test_who_shares_a_port_listens_once_it_is_ready(settings: ServiceSettings) -> None:
    health = Health(("database",))
    async with (
        serving(settings, health) as task,
        grpc.aio.insecure_channel(settings.listen) as channel,
    ):
        error = await failure(stub(channel).GetCatalog(FILMS, timeout=60))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        await health.set("database", up=True)
        answer = stub(channel).GetCatalog(
            FILMS, metadata=bearer("ann"), timeout=60, wait_for_ready=True
        )
        assert await answer == Catalog()
        assert not task.done()


async def test_who_is_told_to_stop_before_it_is_ready_stops(settings: ServiceSettings) -> None:
    async with serving(settings, Health(("database",))) as task:
        pass
    assert task.done()
