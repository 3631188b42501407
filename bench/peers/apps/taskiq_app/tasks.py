"""The broker, its results and the task: `taskiq worker bench.peers.apps.taskiq_app.tasks:broker`."""

from __future__ import annotations

from functools import cache

from taskiq.serializers import ORJSONSerializer
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType
from taskiq_pg.asyncpg import AsyncpgResultBackend

from bench.peers.apps.ranking import Ranked, Ranking
from bench.peers.apps.settings import Settings

PREFETCH = 64
_CONNECTIONS = 8


def make_broker(settings: Settings) -> AioPikaBroker:
    """A broker with a quorum queue, and a result backend with a table."""
    broker = AioPikaBroker(
        settings.amqp_url,
        qos=PREFETCH,
        exchange=Exchange(name="bench.taskiq"),
        task_queues=[Queue(name="bench.taskiq.jobs", type=QueueType.QUORUM)],
        dead_letter_queue=Queue(name="bench.taskiq.dead"),
    )
    return broker.with_serializer(ORJSONSerializer()).with_result_backend(
        AsyncpgResultBackend(
            settings.database_url,
            serializer=ORJSONSerializer(),
            min_size=_CONNECTIONS,
            max_size=_CONNECTIONS,
        )
    )


broker = make_broker(Settings.from_environment())


@cache
def _ranking() -> Ranking:
    return Ranking(Settings.from_environment().data)


@broker.task(task_name="bench.recommend")
async def recommend(item: str, limit: int) -> list[Ranked]:
    """Ranks; the result backend stores what it returns, and the message is acknowledged after that."""
    return _ranking().top(item, limit)
