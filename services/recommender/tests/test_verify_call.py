"""`VerifyIndex` as callers and those who keep the read model see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aio_pika
import grpc
import pytest
from aio_pika.abc import AbstractIncomingMessage

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.events.v1.catalog_events_pb2 import InteractionsWritten, ItemChange, ItemsChanged
from recmesh.recommender.v1 import index_service_pb2 as pb
from recmesh.recommender.v1.index_service_pb2_grpc import IndexServiceStub
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened
from recmesh_kit import testing
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_kit.layout import HISTORY, INDEX, topology_of
from recmesh_kit.proxy import Proxy
from recmesh_kit.testing import bearer, running, status_of
from recmesh_recommender.verify import service
from recmesh_recommender.verify.findings import CatalogItem, Deed
from recmesh_recommender.verify.repairs import Repairs
from recmesh_recommender.verify.service import Verifier
from recmesh_recommender.verify.servicer import index_service
from services.recommender.tests.conftest import failure, taken_from
from services.recommender.tests.test_verify import LONG_AGO, Source

if TYPE_CHECKING:
    from recmesh.recommender.v1.index_service_pb2_grpc import IndexServiceAsyncStub

ADMIN = bearer("root", testing.ADMIN)


@asynccontextmanager
async def serving(
    database: Database, amqp_url: str, source: Source
) -> AsyncIterator[IndexServiceAsyncStub]:
    async with Broker(amqp_url, name="test", timeout_seconds=60) as broker:
        await broker.declare(topology_of("recommender"))
        verifier = Verifier(database, source, Repairs(broker), settle_seconds=0)
        async with running([index_service(verifier)]) as channel:
            yield IndexServiceStub(channel)


def asked(catalog: str, *, repair: bool = False) -> pb.VerifyIndexRequest:
    return pb.VerifyIndexRequest(parent=f"catalogs/{catalog}", repair=repair)


async def answers(
    stub: IndexServiceAsyncStub,
    request: pb.VerifyIndexRequest,
    metadata: tuple[tuple[str, str], ...] = ADMIN,
) -> list[pb.VerifyIndexResponse]:
    return [answer async for answer in stub.VerifyIndex(request, metadata=metadata, timeout=60)]


@pytest.fixture
def source() -> Source:
    interaction = Interaction(name="catalogs/films/interactions/i-1", user="ann")
    event = Event("alien", Interaction.TYPE_LIKE, None, 1.0)
    happened = Happened("ann", event, datetime.fromtimestamp(LONG_AGO, UTC))
    return Source(
        {"alien": CatalogItem("alien", 3, LONG_AGO)},
        deeds=[Deed("i-1", happened, interaction.SerializeToString())],
    )


async def test_what_is_lacking_is_told_to_those_who_keep_the_read_model(
    database: Database, amqp_url: str, source: Source
) -> None:
    catalog = str(uuid7())
    async with (
        serving(database, amqp_url, source) as stub,
        await aio_pika.connect(amqp_url) as connection,
    ):
        channel = await connection.channel()
        index = await channel.get_queue(INDEX.name)
        history = await channel.get_queue(HISTORY.name)
        await index.purge()
        await history.purge()
        *_, last = await answers(stub, asked(catalog, repair=True))
        change, told = await taken_from(index), await taken_from(history)
    assert last == pb.VerifyIndexResponse(
        items=pb.VerifyIndexResponse.Finding(
            checked_count=1, missing_count=1, repaired_count=1, samples=["alien"]
        ),
        interactions=pb.VerifyIndexResponse.Finding(
            checked_count=1, missing_count=1, repaired_count=1, samples=["i-1"]
        ),
        done=True,
    )
    assert ItemsChanged.FromString(change.body) == ItemsChanged(
        version=1, catalog=catalog, changes=[ItemChange(item="alien", revision=3)]
    )
    assert InteractionsWritten.FromString(told.body) == InteractionsWritten(
        version=1,
        catalog=catalog,
        interactions=[Interaction.FromString(source.deeds[0].body)],
    )
    keys = [f"item.{catalog}", f"interaction.{catalog}"]
    assert [message.routing_key for message in (change, told)] == keys
    assert all(_lasts(message) for message in (change, told))


def _lasts(message: AbstractIncomingMessage) -> bool:
    return message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_it_is_for_admins(database: Database, amqp_url: str, source: Source) -> None:
    catalog = str(uuid7())
    of_it = bearer("ed", catalogs={catalog: testing.ADMIN})
    of_another = bearer("ed", catalogs={"other": testing.ADMIN})
    async with serving(database, amqp_url, source) as stub:
        for metadata in (bearer("ann"), bearer("ed", testing.EDITOR), of_another):
            error = await failure(answers(stub, asked(catalog), metadata))
            assert error == "PERMISSION_DENIED ROLE_REQUIRED"
        assert (await answers(stub, asked(catalog), of_it))[-1].done


async def test_a_second_comparison_is_told_to_come_back(
    database: Database, amqp_url: str, source: Source
) -> None:
    catalog = str(uuid7())
    async with serving(database, amqp_url, source) as stub:

        async def meanwhile() -> None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answers(stub, asked(catalog))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            kinds = {d.type_url.rpartition(".")[2] for d in status_of(caught.value).details}
            assert kinds == {"ErrorInfo", "RetryInfo"}

        source.then = meanwhile
        assert (await answers(stub, asked(catalog)))[-1].done
        assert source.asked
        source.then = None
        assert (await answers(stub, asked(catalog)))[-1].done


async def test_without_the_broker_it_compares_and_repairs_nothing(
    database: Database, amqp_url: str, source: Source
) -> None:
    catalog = str(uuid7())
    async with serving(database, Proxy.to(amqp_url).url, source) as stub:
        error = await failure(answers(stub, asked(catalog, repair=True)))
        assert error == "UNAVAILABLE DEPENDENCY_UNAVAILABLE"
        assert (await answers(stub, asked(catalog)))[-1].items.missing_count == 1


async def test_whoever_goes_away_in_the_middle_makes_room_for_the_next(
    database: Database,
    amqp_url: str,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "TELL_EVERY", 1)
    catalog, begun = str(uuid7()), asyncio.Event()

    async def for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    source.then = for_ever
    async with serving(database, amqp_url, source) as stub:
        call = stub.VerifyIndex(asked(catalog), metadata=ADMIN, timeout=60)
        await call.read()
        await begun.wait()
        call.cancel()
        source.then = None

        async def done() -> bool:
            try:
                return (await answers(stub, asked(catalog)))[-1].done
            except grpc.aio.AioRpcError:
                return False

        async with asyncio.timeout(60):
            while not await done():
                pass
