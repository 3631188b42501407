# ruff: noqa: N802 - the methods have the names of the contract
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aio_pika
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from localmesh.ports import free_ports
from recmesh.auth.v1 import auth_service_pb2 as auth_pb
from recmesh.catalog.v1 import catalog_service_pb2 as catalog_pb
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh.events.v1.job_events_pb2 import Answer as AnswerMessage
from recmesh.events.v1.job_events_pb2 import IndexAdvanced
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.states import Lane, State
from recmesh_kit import layout
from recmesh_kit.broker import Broker
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller
from recmesh_kit.database import Database
from recmesh_kit.health import Health
from recmesh_kit.principal import Principal
from recmesh_kit.server import Service, shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.testing import SERVICE, signer, verifier
from recmesh_worker.encoder import Encoder
from services.worker.tests.conftest import Asking, eventually, history_of, indexed, written

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


@pytest.fixture
async def environment(
    urls: dict[str, str], amqp_url: str, broker: Broker, asking: Asking
) -> AsyncIterator[dict[str, str]]:
    """What the process is told. Its queues are empty."""
    await broker.declare(layout.topology_of("worker"))
    for queue in (
        layout.INTERACTIVE,
        layout.BULK,
        layout.SUSPECT,
        layout.INDEX,
        layout.HISTORY,
    ):
        await (await asking.channel.get_queue(queue.name)).purge()
    settings = ServiceSettings(listen="127.0.0.1:0", drain_seconds=1)
    health = Health(())
    services = [
        Service(auth_pb.DESCRIPTOR.services_by_name["AuthService"], Auth()),
        Service(catalog_pb.DESCRIPTOR.services_by_name["CatalogService"], Catalog()),
    ]
    server, port = await start(settings, services, verifier=verifier, health=health)
    [own_port] = free_ports(1)
    yield {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "DATABASE_URL": urls["recmesh_worker"],
        "AMQP_URL": amqp_url,
        "RECMESH_LISTEN": f"127.0.0.1:{own_port}",
        "RECMESH_AUTH_TARGET": f"127.0.0.1:{port}",
        "RECMESH_CATALOG_TARGET": f"127.0.0.1:{port}",
        "RECMESH_SERVICE_KEY": KEY,
        "RECMESH_DRAIN_SECONDS": "5",
        "RECMESH_PROBE_INTERVAL_SECONDS": "0.1",
    }
    await shut_down(server, settings, health)


@pytest.fixture
def jobs(asking: Asking) -> Asking:
    """The recommender's side, with the queue that workers consume."""
    return replace(asking, queue=layout.INTERACTIVE.name)


class Life:
    """One run of the process."""

    def __init__(self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel) -> None:
        self.process = process
        self.channel = channel

    async def serves(self, subject: str = "") -> bool:
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
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


@asynccontextmanager
async def living(environment: dict[str, str], log: Path) -> AsyncIterator[Life]:
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "recmesh_worker", env=environment, stdout=out, stderr=out
        )
    try:
        async with grpc.aio.insecure_channel(environment["RECMESH_LISTEN"]) as channel:
            yield Life(process, channel)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_from_start_to_stop(
    environment: dict[str, str],
    jobs: Asking,
    database: Database,
    catalog: str,
    tmp_path: Path,
) -> None:
    encoder = Encoder()
    encoder.identify()
    async with database.transaction() as session:
        items = [indexed(catalog, name, vector=None) for name in ("alien", "heat")]
        await IndexRepository(session, encoder.id).upsert(catalog, items)
    fresh = f"{catalog}-fresh"
    exchange = await jobs.channel.get_exchange(layout.CATALOG_EVENTS.name)
    await exchange.publish(_message(fresh, list(FILMS)), f"item.{fresh}")
    _, liked = written(
        fresh,
        Interaction(user="ada", item=f"catalogs/{fresh}/items/whale", type=Interaction.TYPE_LIKE),
    )
    await exchange.publish(aio_pika.Message(liked), f"interaction.{fresh}")
    progress = await jobs.channel.declare_queue(f"progress-{fresh}", durable=True)
    await progress.bind(layout.RECOMMENDER_EVENTS.name, layout.index_key(fresh))
    # They wait when it starts, the text before the title.
    text = await jobs.ask(catalog, Query(text="a monster hunts a crew"))
    title = await jobs.ask(catalog, Query(title="alien"))
    bulk = await replace(jobs, queue=layout.BULK.name).ask(
        catalog, Query(title="heat"), lane=Lane.BULK
    )
    async with living(environment, tmp_path / "log") as life:
        await life.until_serving()
        await life.until_serving("text")
        await jobs.heard(text)
        await jobs.heard(bulk)
        done, waited = await jobs.read(title), await jobs.read(text)
        assert (done.state, waited.state) == (State.SUCCEEDED, State.SUCCEEDED)
        assert done.end_time is not None
        assert waited.start_time is not None
        assert done.end_time < waited.start_time

        async def indexed_by_now() -> bool:
            found = await jobs.ask(fresh, Query(text="steal a secret from a dream", limit=1))
            await jobs.heard(found)
            answer = AnswerMessage.FromString((await jobs.read(found)).answer or b"")
            return [result.title for result in answer.results] == ["The Dream Job"]

        await eventually(indexed_by_now, LIMIT)

        async def told_how_far_it_is() -> bool:
            message = await progress.get(fail=False, no_ack=True)
            if message is None:
                return False
            return IndexAdvanced.FromString(message.body).searchable_item_count == len(FILMS)

        await eventually(told_how_far_it_is, LIMIT)
        await progress.delete(if_unused=False, if_empty=False)

        async def known_what_she_did() -> bool:
            async with database.transaction() as session:
                found = await history_of(session, fresh, "ada")
            return [event.item for event in found] == ["whale"]

        await eventually(known_what_she_did, LIMIT)

        many = [await jobs.store(catalog, Query(title="alien")) for _ in range(300)]
        sending = asyncio.create_task(jobs.send(*many))
        await jobs.heard(many[0])
        life.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            code = await life.end()
        await sending
    assert code == 0, (tmp_path / "log").read_text()
    read = [await jobs.read(job) for job in many]
    assert {job.state for job in read} <= {State.QUEUED, State.SUCCEEDED}
    # To be stopped is no attempt.
    assert {job.attempts for job in read if job.state is State.QUEUED} <= {0}


async def test_a_worker_whose_encoder_cannot_be_loaded_ends(
    environment: dict[str, str], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"hidden_size": 8}))
    log = tmp_path / "log"
    async with living(environment | {"RECMESH_ENCODER": str(model)}, log) as life:
        assert await life.end() == 1
    assert "the encoder cannot be loaded" in log.read_text()


def _message(catalog: str, items: list[str]) -> aio_pika.Message:
    changes = [events.ItemChange(item=item, revision=1) for item in items]
    changed = events.ItemsChanged(version=1, catalog=catalog, changes=changes)
    return aio_pika.Message(changed.SerializeToString())
