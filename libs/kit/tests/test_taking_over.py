from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from libs.kit.tests.calls import FILMS, catalogs, failure, stub
from localmesh.ports import free_ports
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


def connections(listener: socket.socket) -> int:
    """How many wait to be taken."""
    taken = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return taken
        taken += 1


def connect(port: int) -> None:
    for _ in range(TRIES):
        socket.create_connection(("127.0.0.1", port)).close()


def test_new_connections_go_to_the_newest_and_then_to_the_one_that_is_left() -> None:
    with listening_socket(0) as first:
        port = first.getsockname()[1]
        prefer_newest(port)
        connect(port)
        assert connections(first) == TRIES
        with listening_socket(port) as second:
            connect(port)
            assert (connections(first), connections(second)) == (0, TRIES)
            first.close()
            connect(port)
            assert connections(second) == TRIES
            with listening_socket(port) as third:
                connect(port)
                assert (connections(second), connections(third)) == (0, TRIES)


def test_where_nobody_listens_nothing_is_preferred() -> None:
    prefer_newest(free_ports(1)[0])


@asynccontextmanager
async def serving(settings: ServiceSettings, health: Health) -> AsyncIterator[asyncio.Task[None]]:
    """A service, and after the block its end by a signal."""

    async def get(_: object, __: object) -> Catalog:
        return Catalog()

    work = serve(settings, [catalogs(GetCatalog=get)], verifier=verifier, health=health)
    task = asyncio.create_task(work)
    # The handler of the signal is there then.
    await asyncio.sleep(0)
    yield task
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(60):
        await task


@pytest.fixture
def settings() -> ServiceSettings:
    [port] = free_ports(1)
    return ServiceSettings(listen=f"127.0.0.1:{port}", share_port=True, drain_seconds=1)


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
