"""The floor's server, `python -m bench.floor.server`: `Recommend` on 127.0.0.1."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from uuid import UUID

import aio_pika
import asyncpg
import grpc
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from bench.floor import rows
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1 import recommender_service_pb2_grpc as pb_grpc
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation

PERSISTENT = aio_pika.DeliveryMode.PERSISTENT
Context = grpc.aio.ServicerContext[object, object]


class Jobs:
    """Jobs go in, with their neighbours; news of their end comes back through the reply queue."""

    def __init__(
        self, pool: asyncpg.Pool, exchange: aio_pika.abc.AbstractExchange, queue: str, replies: str
    ) -> None:
        self.pool = pool
        self.ended: dict[UUID, asyncio.Future[Recommendation]] = {}
        self._exchange, self._queue, self._replies = exchange, queue, replies
        self._new: asyncio.Queue[tuple[UUID, bytes, asyncio.Future[None]]] = asyncio.Queue()

    async def store(self, query: Query) -> tuple[UUID, bytes]:
        """Returns when the job is committed."""
        # Ordered by time, so that the index grows at its end.
        job, body = (
            UUID(int=time.time_ns() << 64 | random.getrandbits(64)),
            query.SerializeToString(),
        )
        stored = asyncio.get_running_loop().create_future()
        self.ended[job] = asyncio.get_running_loop().create_future()
        self._new.put_nowait((job, body, stored))
        await stored
        return job, body

    async def publish(self, job: UUID, body: bytes) -> None:
        """Returns when the broker has confirmed the message."""
        to = self._replies
        message = aio_pika.Message(body, message_id=job.hex, reply_to=to, delivery_mode=PERSISTENT)
        await self._exchange.publish(message, self._queue)

    async def keep_storing(self) -> None:
        """Inserts what waits, in one statement; ends by being cancelled."""
        while True:
            batch = [await self._new.get()]
            while not self._new.empty():
                batch.append(self._new.get_nowait())
            await self.pool.execute(
                rows.INSERT, [job for job, *_ in batch], [q for _, q, _ in batch]
            )
            for *_, stored in batch:
                stored.set_result(None)

    async def hear(self, message: AbstractIncomingMessage) -> None:
        """Wakes those who wait for the jobs of a reply."""
        for answer in pb.ListRecommendationsResponse.FromString(message.body).recommendations:
            self.ended.pop(UUID(answer.name)).set_result(answer)


class Server(pb_grpc.RecommenderServiceServicer):
    """Stores, publishes, waits."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> Recommendation:  # noqa: N802
        """Answers when the job has ended."""
        job, body = await self.jobs.store(request.recommendation.query)
        ended = self.jobs.ended[job]
        await self.jobs.publish(job, body)
        return await ended


async def main(make: Callable[[Jobs], pb_grpc.RecommenderServiceServicer] = Server) -> None:
    """Serves until it is killed."""
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4) as pool,
        await aio_pika.connect(os.environ["AMQP_URL"]) as connection,
    ):
        await pool.execute(rows.TABLE)
        channel = await connection.channel()
        queue = os.environ["BENCH_QUEUE"]
        await channel.declare_queue(queue, durable=True, arguments={**rows.QUORUM})
        replies = await channel.declare_queue(exclusive=True)
        jobs = Jobs(pool, channel.default_exchange, queue, replies.name)
        await replies.consume(jobs.hear, no_ack=True)
        server = grpc.aio.server()
        pb_grpc.add_RecommenderServiceServicer_to_server(make(jobs), server)
        server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
        await server.start()
        await jobs.keep_storing()


if __name__ == "__main__":
    uvloop.run(main())
