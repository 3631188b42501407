"""The process as a whole: killed at named points, stopped while calls wait, stopped while nothing answers it."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jwt.algorithms import OKPAlgorithm

from recmesh.auth.v1 import auth_service_pb2 as auth_pb
from recmesh.catalog.v1 import catalog_service_pb2 as catalog_pb
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from recmesh_kit import testing
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.database import Database
from recmesh_kit.health import Health
from recmesh_kit.principal import Principal
from recmesh_kit.proxy import Proxy
from recmesh_kit.server import Service, shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.testing import SERVICE, port_in, reason_of, signer, status_of, verifier
from services.recommender.tests.conftest import (
    ALIEN,
    ANN,
    FILMS,
    error_of,
    replica_of,
    sql,
    state,
    until,
    until_state,
)
from services.recommender.tests.standin import working

if TYPE_CHECKING:
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

LIMIT = 180.0
KEY = "the recommender's key"


class Auth:
    """Stands in for the auth service."""

    async def GetJwks(self, request: auth_pb.GetJwksRequest, context: RpcContext) -> auth_pb.Jwks:
        public = OKPAlgorithm.to_jwk(testing._key.public_key(), as_dict=True)
        return auth_pb.Jwks(
            keys=[auth_pb.Jwk(kty="OKP", crv="Ed25519", x=public["x"], kid=testing.KID)]
        )

    async def ExchangeApiKey(
        self, request: auth_pb.ExchangeApiKeyRequest, context: RpcContext
    ) -> auth_pb.TokenPair:
        assert request.api_key == KEY
        token = signer.sign(Principal("recommender", SERVICE, {}), 600)
        return auth_pb.TokenPair(access_token=token, token_type="Bearer", expires_in=600)


class Catalogs:
    """Stands in for the catalog service."""

    async def GetCatalog(
        self, request: catalog_pb.GetCatalogRequest, context: RpcContext
    ) -> Catalog:
        return Catalog(name=request.name, visibility=Catalog.VISIBILITY_PUBLIC)


@pytest.fixture
async def environment(
    database: Database, database_url: str, amqp_url: str, tmp_path: Path
) -> AsyncIterator[dict[str, str]]:
    """What the process is told."""
    settings = ServiceSettings(listen="127.0.0.1:0", drain_seconds=1)
    health = Health(())
    services = [
        Service(auth_pb.DESCRIPTOR.services_by_name["AuthService"], Auth()),
        Service(catalog_pb.DESCRIPTOR.services_by_name["CatalogService"], Catalogs()),
    ]
    server, port = await start(settings, services, verifier=verifier, health=health)
    yield {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": database_url,
        "AMQP_URL": amqp_url,
        "RECMESH_LISTEN": "127.0.0.1:0",
        "RECMESH_AUTH_TARGET": f"127.0.0.1:{port}",
        "RECMESH_CATALOG_TARGET": f"127.0.0.1:{port}",
        "RECMESH_SERVICE_KEY": KEY,
        "RECMESH_DRAIN_SECONDS": "30",
        "RECMESH_PROBE_INTERVAL_SECONDS": "0.1",
        "RECMESH_FAULTS": str(tmp_path),
    }
    await shut_down(server, settings, health)


@dataclass
class Life:
    """One run of the process."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel

    @property
    def stub(self) -> RecommenderServiceAsyncStub:
        return RecommenderServiceStub(self.channel)

    async def serves(self, subject: str = "") -> bool:
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=subject), timeout=30)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def until_serving(self) -> None:
        async with asyncio.timeout(LIMIT):
            while not await self.serves():
                assert self.process.returncode is None, "it has ended"
                await asyncio.sleep(0.05)

    def recommend(self, request_id: str) -> Awaitable[Recommendation]:
        request = pb.RecommendRequest(
            parent=FILMS, recommendation=Recommendation(query=ALIEN), request_id=request_id
        )
        return self.stub.Recommend(request, metadata=ANN, timeout=100)

    async def end(self) -> int:
        async with asyncio.timeout(LIMIT):
            return await self.process.wait()


@asynccontextmanager
async def living(environment: dict[str, str], log: Path) -> AsyncIterator[Life]:
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "recmesh_recommender", env=environment, stdout=out, stderr=out
        )
    try:
        async with asyncio.timeout(LIMIT):
            while (port := port_in(log)) is None:
                assert process.returncode is None, "it has ended"
                await asyncio.sleep(0.05)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            life = Life(process, channel)
            await life.until_serving()
            yield life
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def the_only_job(database: Database) -> str:
    ((id_,),) = await sql(database, "SELECT id FROM recommender.jobs")
    return f"{FILMS}/recommendations/{id_}"


@pytest.mark.parametrize("point", ["intake.stored", "dispatch.published"])
async def test_killed_on_the_way_it_leaves_one_job_that_a_repeat_finds_and_that_ends_once(
    environment: dict[str, str], database: Database, amqp_url: str, tmp_path: Path, point: str
) -> None:
    async with living(environment, tmp_path / "log") as life:
        (tmp_path / point).write_text("crash")
        error = await error_of(life.recommend("once"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert await life.end() == -signal.SIGKILL
    name = await the_only_job(database)
    async with replica_of(database, amqp_url) as fellow, working(database, amqp_url) as worker:
        again = await fellow.create(request_id="once")
        assert again.name == name
        # Its message was never sent: now, not in some seconds, somebody looks.
        await sql(database, "UPDATE recommender.jobs SET dispatch_time = now() WHERE state = 1")
        done = await fellow.recommend(request_id="once")
        assert (done.name, state(done), done.attempt_count) == (name, "SUCCEEDED", 1)
    assert len(worker.taken) == 1
    assert await the_only_job(database) == name


async def test_a_stop_lets_go_of_who_waits_and_watches_and_loses_nothing(
    environment: dict[str, str], database: Database, amqp_url: str, tmp_path: Path
) -> None:
    async with (
        working(database, amqp_url, held=True) as worker,
        replica_of(database, amqp_url) as fellow,
    ):
        async with living(environment, tmp_path / "log") as life:
            assert await life.serves("liveness")
            waiting = asyncio.ensure_future(life.recommend("once"))
            await until(lambda: worker.taken)
            name = await the_only_job(database)
            request = pb.WatchRecommendationRequest(name=name)
            watching = life.stub.WatchRecommendation(request, metadata=ANN, timeout=100)
            seen = await watching.read()
            assert isinstance(seen, Recommendation)
            assert state(seen) == "RUNNING"
            life.process.send_signal(signal.SIGTERM)
            for call in (waiting, watching.read()):
                error = await error_of(call)
                assert (error.code().name, reason_of(error)) == ("UNAVAILABLE", "SHUTTING_DOWN")
                retry = error_details_pb2.RetryInfo()
                assert any(detail.Unpack(retry) for detail in status_of(error).details)
            assert await life.end() == 0
        worker.gate.set()
        done = await fellow.recommend(request_id="once")
        assert (done.name, state(done)) == (name, "SUCCEEDED")
    assert len(worker.taken) == 1


async def test_it_stops_though_neither_database_nor_broker_answers(
    environment: dict[str, str],
    database_url: str,
    amqp_url: str,
    database: Database,
    tmp_path: Path,
) -> None:
    async with Proxy.to(database_url) as rows, Proxy.to(amqp_url) as messages:
        hanging = {
            "DATABASE_URL": rows.url,
            "AMQP_URL": messages.url,
            "RECMESH_DRAIN_SECONDS": "1",
        }
        async with living(environment | hanging, tmp_path / "log") as life:
            waiting = asyncio.ensure_future(life.recommend("once"))
            await until_one_is_stored(database)
            rows.hang()
            messages.hang()
            storing = asyncio.ensure_future(life.recommend("twice"))
            life.process.send_signal(signal.SIGTERM)
            for call in (waiting, storing):
                error = await error_of(call)
                assert error.code() in (
                    grpc.StatusCode.UNAVAILABLE,
                    grpc.StatusCode.CANCELLED,
                )
            assert await life.end() == 0
    # Who was told nothing finds nothing lost: the one job is there, and the other was never accepted.
    name = await the_only_job(database)
    async with replica_of(database, amqp_url) as fellow, working(database, amqp_url):
        await sql(database, "UPDATE recommender.jobs SET dispatch_time = now() WHERE state = 1")
        await until_state(fellow, name, "SUCCEEDED")


async def until_one_is_stored(database: Database) -> None:
    async with asyncio.timeout(LIMIT):
        while not await sql(database, "SELECT 1 FROM recommender.jobs"):
            pass
