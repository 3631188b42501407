from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from asyncio.subprocess import PIPE
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from libs.kit.tests.calls import CATALOGS, FILMS, catalogs, failure, health_of, listening, stub
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh_kit.health import NOT_SERVING, Health
from recmesh_kit.server import shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.testing import bearer, running, verifier

CALLER = bearer("ann")


class Held:
    """A method that waits to be let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.release = asyncio.Event()

    async def get(self, _: object, __: object) -> Catalog:
        self.begun.set()
        await self.release.wait()
        return Catalog(name="catalogs/films")


async def started(held: Held, health: Health, drain_seconds: float) -> tuple[Any, Any, Any]:
    settings = ServiceSettings(listen="127.0.0.1:0", drain_seconds=drain_seconds)
    service = catalogs(GetCatalog=held.get)
    server, port = await start(settings, [service], verifier=verifier, health=health)
    return server, settings, grpc.aio.insecure_channel(f"127.0.0.1:{port}")


async def test_a_stop_lets_calls_in_hand_end() -> None:
    held, health = Held(), Health(())
    server, settings, channel = await started(held, health, 100)
    async with channel:
        call = asyncio.ensure_future(stub(channel).GetCatalog(FILMS, metadata=CALLER))
        await held.begun.wait()
        watch = health_of(channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        stopping = asyncio.create_task(shut_down(server, settings, health))
        # Told while the call is still in hand.
        assert (await watch.read()).status == NOT_SERVING
        assert not call.done()
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER, timeout=60))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        held.release.set()
        assert (await call).name == "catalogs/films"
        async with asyncio.timeout(60):
            await stopping


async def test_a_stop_cuts_off_what_takes_too_long() -> None:
    held, health = Held(), Health(())
    server, settings, channel = await started(held, health, 0.2)
    async with channel:
        call = asyncio.ensure_future(stub(channel).GetCatalog(FILMS, metadata=CALLER))
        await held.begun.wait()
        async with asyncio.timeout(60):
            await shut_down(server, settings, health)
            error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_waits_is_let_go_before_the_drain() -> None:
    held, health = Held(), Health(())
    server, settings, channel = await started(held, health, 100)

    async def let_go() -> None:
        assert not health.serving
        held.release.set()

    async with channel:
        call = asyncio.ensure_future(stub(channel).GetCatalog(FILMS, metadata=CALLER))
        await held.begun.wait()
        async with asyncio.timeout(60):
            await shut_down(server, settings, health, let_go)
        assert (await call).name == "catalogs/films"


async def test_a_failed_preparation_does_not_keep_the_server_up() -> None:
    server, settings, channel = await started(Held(), health := Health(()), 1)

    async def fail() -> None:
        raise ValueError("no")

    async with channel:
        with pytest.raises(ValueError, match="no"):
            await shut_down(server, settings, health, fail)
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER, timeout=60))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_preparation_that_hangs_takes_its_time_from_the_drain() -> None:
    health = Health(())
    server, settings, channel = await started(Held(), health, 0.2)
    given = []

    async def stop(seconds: float) -> None:
        given.append(seconds)
        await server.stop(seconds)

    async def hang() -> None:
        await asyncio.Event().wait()

    async with channel, asyncio.timeout(60):
        stopping: Any = SimpleNamespace(stop=stop)
        await shut_down(stopping, settings, health, hang)
    [seconds] = given
    assert seconds < 0.1


async def test_a_watcher_of_health_does_not_hold_up_the_stop() -> None:
    health = Health(())
    server, settings, channel = await started(Held(), health, 100)
    async with channel:
        watch = health_of(channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        async with asyncio.timeout(60):
            await shut_down(server, settings, health)


PROGRAM = """
    import asyncio, uvloop
    from recmesh.catalog.v1 import catalog_service_pb2 as pb
    from recmesh.catalog.v1.catalog_pb2 import Catalog
    from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer
    from recmesh_kit.health import Health
    from recmesh_kit.server import Service, serve
    from recmesh_kit.settings import ServiceSettings
    from recmesh_kit.testing import verifier

    class Catalogs(CatalogServiceServicer):
        async def GetCatalog(self, request, context):
            print("begun", flush=True)
            await asyncio.sleep(0.5)
            return Catalog(name=request.name)

    async def main():
        service = Service(pb.DESCRIPTOR.services_by_name["CatalogService"], Catalogs())
        settings = ServiceSettings(listen="127.0.0.1:0", drain_seconds=100)
        await serve(settings, [service], verifier=verifier, health=Health(()))
        print("closed", flush=True)

    uvloop.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_in_order(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(PROGRAM),
        stdout=PIPE,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            while "port=" not in (line := (await process.stdout.readline()).decode()):
                assert line, "it ended before it listened"
            port = line.partition("port=")[2].split()[0]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = asyncio.ensure_future(stub(channel).GetCatalog(FILMS, metadata=CALLER))
                while "begun" not in (await process.stdout.readline()).decode():
                    assert process.returncode is None
                process.send_signal(number)
                assert (await call).name == "catalogs/films"
            rest = (await process.stdout.read()).decode()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert rest.index("stopping") < rest.index("stopped") < rest.index("closed")


async def test_reflection_lists_what_is_served() -> None:
    async with listening(catalogs()) as address:
        services = await asyncio.to_thread(reflected, address)
    assert set(services) == {
        CATALOGS.full_name,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def reflected(address: str) -> list[str]:
    with grpc.insecure_channel(address) as channel:
        return list(ProtoReflectionDescriptorDatabase(channel).get_services())


async def test_reflection_describes_a_method_and_its_options() -> None:
    async with listening(catalogs()) as address:
        imported = await asyncio.to_thread(file_of_the_service, address)
    assert "recmesh/common/v1/authorization.proto" in imported


def file_of_the_service(address: str) -> list[str]:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        return list(database.FindFileContainingSymbol(CATALOGS.full_name).dependency)


@pytest.mark.parametrize("served", [True, False])
async def test_channelz_by_a_setting(served: bool) -> None:
    async with running([], channelz=served) as channel:
        call = channelz_pb2_grpc.ChannelzStub(channel).GetServers(channelz_pb2.GetServersRequest())
        if served:
            assert (await call).server
        else:
            assert (await failure(call)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_that_is_too_large_is_refused() -> None:
    async with running([catalogs()], max_message_bytes=1000) as channel:
        call: Any = channel.unary_unary(f"/{CATALOGS.full_name}/GetCatalog")
        error = await failure(call(b"x" * 1001, metadata=CALLER))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_that_is_too_large_is_refused() -> None:
    async with running([catalogs()], max_metadata_bytes=2000) as channel:
        metadata = (*CALLER, ("x-more", "x" * 2000))
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=metadata))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_two_servers_do_not_share_a_port() -> None:
    async with listening() as address:
        with pytest.raises(RuntimeError, match=address.partition(":")[2]):
            async with listening(listen=address):
                pass
