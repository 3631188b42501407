"""Each service's user at the broker may do what the service does, and no more."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from recmesh_kit.broker import Broker
from recmesh_kit.layout import RoleName, topology_of

TIMEOUT_SECONDS = 30
DELAYS = ("recommender.delay.1s", "recommender.delay.10s", "recommender.delay.60s")
JOBS = ("jobs.interactive", "jobs.bulk", "jobs.suspect", "jobs.training")
PUBLISHES: dict[RoleName, tuple[str, ...]] = {
    "catalog": ("catalog.events",),
    "recommender": ("recommender.jobs", "recommender.events", "recommender.repairs"),
    "worker": (*DELAYS, "recommender.events", ""),
}
CONSUMES: dict[RoleName, tuple[str, ...]] = {
    "catalog": ("index-progress",),
    "recommender": (),
    "worker": (*JOBS, "index", "history"),
}
REFUSED_EXCHANGES: dict[RoleName, tuple[str, ...]] = {
    "catalog": ("recommender.jobs", *DELAYS, "recommender.events", "recommender.repairs", ""),
    "recommender": ("catalog.events", *DELAYS, ""),
    # To `recommender.jobs` it may: who declares a queue that dead-letters there has to.
    "worker": ("catalog.events", "recommender.repairs"),
}
REFUSED_QUEUES: dict[RoleName, tuple[str, ...]] = {
    "catalog": (*JOBS, "jobs.delay.1s", "index", "history"),
    # The delay tiers they may, for the same reason.
    "recommender": (*JOBS, "index", "history", "index-progress"),
    "worker": ("index-progress",),
}


@pytest.fixture(scope="module")
async def declared(amqp_role_urls: dict[RoleName, str]) -> dict[RoleName, str]:
    """The URLs, once each role has declared what it needs: that is allowed, too."""
    for role, url in amqp_role_urls.items():
        async with Broker(url, name=f"rights-{role}", timeout_seconds=TIMEOUT_SECONDS) as broker:
            await broker.declare(topology_of(role))
    return amqp_role_urls


@asynccontextmanager
async def a_channel(url: str, *, confirms: bool = False) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel(publisher_confirms=confirms)
    finally:
        await connection.close()


async def publish(url: str, exchange: str) -> None:
    """In a transaction that is taken back: no queue is to keep it."""
    async with a_channel(url) as channel:
        await channel.tx_select()
        await channel.basic_publish(b"", exchange=exchange, routing_key="nobody")
        await channel.tx_rollback()


async def read(url: str, queue: str) -> None:
    async with a_channel(url) as channel:
        await channel.basic_get(queue, no_ack=False)


@pytest.mark.parametrize("role", PUBLISHES)
async def test_service_publishes_and_consumes_what_is_its_own(
    declared: dict[RoleName, str], role: RoleName
) -> None:
    for exchange in PUBLISHES[role]:
        await publish(declared[role], exchange)
    for queue in CONSUMES[role]:
        await read(declared[role], queue)


@pytest.mark.parametrize("role", PUBLISHES)
async def test_service_may_not_publish_as_another(
    declared: dict[RoleName, str], role: RoleName
) -> None:
    for exchange in REFUSED_EXCHANGES[role]:
        # Who waits for the confirmation is told; a call that comes later may meet a channel that is closed.
        async with a_channel(declared[role], confirms=True) as channel:
            with pytest.raises(ChannelAccessRefused, match="ACCESS_REFUSED"):
                await channel.basic_publish(b"", exchange=exchange, routing_key="nobody")


@pytest.mark.parametrize("role", PUBLISHES)
async def test_service_may_not_read_what_is_anothers(
    declared: dict[RoleName, str], role: RoleName
) -> None:
    for queue in REFUSED_QUEUES[role]:
        with pytest.raises(ChannelAccessRefused, match="ACCESS_REFUSED"):
            await read(declared[role], queue)


@pytest.mark.parametrize(
    ("role", "queue"), [("catalog", "jobs.interactive"), ("worker", "index-progress")]
)
async def test_service_may_not_remove_what_is_anothers(
    declared: dict[RoleName, str], role: RoleName, queue: str
) -> None:
    async with a_channel(declared[role]) as channel:
        with pytest.raises(ChannelAccessRefused):
            await channel.queue_delete(queue)


async def test_only_the_recommender_has_reply_queues(declared: dict[RoleName, str]) -> None:
    """Those who answer publish to them by the default exchange, and read none."""
    async with a_channel(declared["recommender"]) as asker:
        await asker.queue_declare("reply.test.rights", exclusive=True)
        await asker.basic_get("reply.test.rights")
        async with a_channel(declared["worker"]) as channel:
            await channel.tx_select()
            await channel.basic_publish(b"", routing_key="reply.test.rights")
            await channel.tx_commit()
    for role in ("catalog", "worker"):
        async with a_channel(declared[role]) as channel:
            with pytest.raises(ChannelAccessRefused):
                await channel.queue_declare("reply.test.rights", exclusive=True)
