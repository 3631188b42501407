import asyncio
import math

import aio_pika
from prometheus_client import CollectorRegistry

from recmesh_jobs.repository import Unfinished
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.layout import BULK, INTERACTIVE, topology_of
from recmesh_kit.proxy import Proxy
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_kit.telemetry.place import Place
from recmesh_recommender.admission import Admission
from recmesh_recommender.dispatch import Dispatcher
from recmesh_recommender.metrics import JobMetrics
from recmesh_recommender.upkeep import Upkeep
from services.recommender.tests.conftest import ANN, Replica, taken_from, until

HERE = Place("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 0, "a=1")


async def test_the_message_of_a_job_is_in_the_trace_of_its_call(
    replica: Replica, amqp_url: str
) -> None:
    traced = await replica.create(metadata=(*ANN, *HERE.headers.items()))
    plain = await replica.create()
    async with await aio_pika.connect(amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(INTERACTIVE.name)
        messages = [await taken_from(queue) for _ in range(2)]
    headers = {message.message_id: message.headers for message in messages}
    assert HERE.headers.items() <= headers[traced.attribution_token].items()
    assert "traceparent" not in headers[plain.attribution_token]


async def test_how_the_queues_stand(database: Database, proxy: Proxy) -> None:
    registry = CollectorRegistry()
    metrics = JobMetrics(Instruments(registry))

    def value(name: str) -> float:
        found = registry.get_sample_value(f"recmesh_queue_{name}", {"queue": BULK.name})
        assert found is not None
        return found

    async with Broker(proxy.url, name="test", timeout_seconds=60) as broker:
        await broker.declare(topology_of("recommender"))
        upkeep = Upkeep(
            database, broker, Dispatcher(broker), attempt_limit=5, keep_days=8, metrics=metrics
        )
        await broker.publish("", BULK.name, b"")
        async with asyncio.timeout(60):
            # Of a queue that does not answer within a quarter of a second the broker says that it is empty.
            await upkeep.look_at_queues()
            while value("messages") == 0:
                await upkeep.look_at_queues()
        assert (value("messages"), value("consumers")) == (1, 0)
        await proxy.close()
        await until(lambda: not broker.connected)
        await upkeep.look_at_queues()
        assert math.isnan(value("messages"))
        assert math.isnan(value("consumers"))


async def test_unfinished_jobs_by_lane(database: Database) -> None:
    registry = CollectorRegistry()
    metrics = JobMetrics(Instruments(registry))
    await Admission(database, 10, 0.5, metrics).refresh()
    name = "recmesh_jobs_unfinished"
    assert registry.get_sample_value(name, {"lane": "interactive"}) == 0
    limit = "recmesh_admission_limit_jobs"
    assert registry.get_sample_value(limit, {"lane": "all"}) == 10
    assert registry.get_sample_value(limit, {"lane": "bulk"}) == 5
    metrics.unfinished(Unfinished(jobs=7, bulk=3))
    assert registry.get_sample_value(name, {"lane": "interactive"}) == 4
    assert registry.get_sample_value(name, {"lane": "bulk"}) == 3


def test_jobs_that_nobody_looked_after() -> None:
    registry = CollectorRegistry()
    metrics = JobMetrics(Instruments(registry))
    metrics.swept(expired=1, given_up=2, tried_again=3)
    metrics.swept(expired=0, given_up=1, tried_again=0)
    swept = {
        end: registry.get_sample_value("recmesh_jobs_swept_total", {"end": end})
        for end in ("expired", "given_up", "tried_again")
    }
    assert swept == {"expired": 1, "given_up": 3, "tried_again": 3}
    dead = {"reason": "ERROR_REASON_ATTEMPTS_EXHAUSTED"}
    assert registry.get_sample_value("recmesh_dead_letters_total", dead) == 3
