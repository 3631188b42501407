# ruff: noqa: N802 - the methods have the names of the contract
"""Workers as processes, and what stands in for the services that they call."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recmesh.auth.v1 import auth_service_pb2 as auth_pb
from recmesh.catalog.v1 import catalog_service_pb2 as catalog_pb
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.health import Health
from recmesh_kit.principal import Principal
from recmesh_kit.server import Service, shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.testing import SERVICE, port_in, signer, verifier
from services.worker.tests.waiting import eventually

LIMIT = 180.0
KEY = "the worker's key"
FILMS = {
    "heist-dream": ("The Dream Job", "A gang of thieves breaks into a dream to steal a secret."),
    "whale": ("The Whale's Song", "A lonely lighthouse keeper befriends a singing whale."),
    "space": ("The Long Dark", "Astronauts drift through deep space toward a dying star."),
}


class Auth:
    """Stands in for the auth service."""

    async def GetJwks(self, request: auth_pb.GetJwksRequest, context: RpcContext) -> auth_pb.Jwks:
        return auth_pb.Jwks()

    async def ExchangeApiKey(
        self, request: auth_pb.ExchangeApiKeyRequest, context: RpcContext
    ) -> auth_pb.TokenPair:
        assert request.api_key == KEY
        token = signer.sign(Principal("worker", SERVICE, {}), 600)
        return auth_pb.TokenPair(access_token=token, token_type="Bearer", expires_in=600)


class Catalog:
    """Stands in for the catalog service; every catalog has the same films."""

    async def BatchGetItems(
        self, request: catalog_pb.BatchGetItemsRequest, context: RpcContext
    ) -> catalog_pb.BatchGetItemsResponse:
        assert caller().id == "worker"
        wanted = [(name, FILMS[name.rpartition("/")[2]]) for name in request.names]
        return catalog_pb.BatchGetItemsResponse(
            items=[
                Item(name=name, title=title, description=description, revision=1)
                for name, (title, description) in wanted
            ]
        )


class Life:
    """One run of the process, which listens where it is free and says so in its log."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log
        self._channel: grpc.aio.Channel | None = None

    async def serves(self, subject: str = "") -> bool:
        if self._channel is None:
            # Not before it listens: a channel that is refused makes longer and longer pauses.
            if (port := port_in(self._log)) is None:
                return False
            self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        stub: Any = health_pb2_grpc.HealthStub(self._channel)
        request = health_pb2.HealthCheckRequest(service=subject)
        try:
            answer = await stub.Check(request, timeout=30)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def until_serving(self, subject: str = "") -> None:
        async def there() -> bool:
            assert self.process.returncode is None, "it has ended"
            return await self.serves(subject)

        await eventually(there, LIMIT)

    async def end(self) -> int:
        async with asyncio.timeout(LIMIT):
            return await self.process.wait()

    async def until_killed(self) -> None:
        """Returns once the process has died by SIGKILL."""
        assert await self.end() == -signal.SIGKILL

    async def aclose(self) -> None:
        """Ends it, if it has not ended."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        if self._channel is not None:
            await self._channel.close()


@asynccontextmanager
async def living(environment: Mapping[str, str], log: Path) -> AsyncIterator[Life]:
    """A worker, and the end of it."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "recmesh_worker",
            env={"RECMESH_LISTEN": "127.0.0.1:0", **environment},
            stdout=out,
            stderr=out,
        )
    life = Life(process, log)
    try:
        yield life
    finally:
        await life.aclose()


@asynccontextmanager
async def standing_in() -> AsyncIterator[str]:
    """The services, where they listen."""
    settings = ServiceSettings(listen="127.0.0.1:0", drain_seconds=1)
    health = Health(())
    services = [
        Service(auth_pb.DESCRIPTOR.services_by_name["AuthService"], Auth()),
        Service(catalog_pb.DESCRIPTOR.services_by_name["CatalogService"], Catalog()),
    ]
    server, port = await start(settings, services, verifier=verifier, health=health)
    yield f"127.0.0.1:{port}"
    await shut_down(server, settings, health)
