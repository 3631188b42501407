"""The floor's worker, `python -m bench.floor.worker`: takes what waits, ranks it, writes, tells, acknowledges."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import aio_pika
import asyncpg
import numpy as np
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from bench.floor import rows
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation, Result

BATCH, PREFETCH, TOP = 64, 128, 10


class Items:
    """All items in memory."""

    def __init__(self, folder: Path) -> None:
        items = json.loads((folder / "items.json").read_text())
        self._items = [(f"catalogs/bench/items/{item['id']}", item["title"]) for item in items]
        self._places = {name: place for place, (name, _) in enumerate(self._items)}
        self._vectors = np.load(folder / "vectors.npy")

    def rank(self, batch: Sequence[AbstractIncomingMessage]) -> list[Recommendation]:
        """The answers to a batch of queries: one matrix product, and no full sort."""
        places = [self._places[Query.FromString(message.body).item] for message in batch]
        every = np.arange(len(places))[:, None]
        scores = self._vectors[places] @ self._vectors.T
        scores[every[:, 0], places] = -np.inf
        top = np.argpartition(scores, -TOP, axis=1)[:, -TOP:]
        top = top[every, np.argsort(-scores[every, top], axis=1)]
        ranked = zip(batch, top.tolist(), scores[every, top].tolist(), strict=True)
        return [self._answer(message.message_id or "", *found) for message, *found in ranked]

    def _answer(self, job: str, top: Sequence[int], scores: Sequence[float]) -> Recommendation:
        found = [(*self._items[place], score) for place, score in zip(top, scores, strict=True)]
        results = [Result(item=item, title=title, score=score) for item, title, score in found]
        return Recommendation(name=job, state=Recommendation.STATE_SUCCEEDED, results=results)


async def main() -> None:
    """Works until it is killed: what is not acknowledged comes again."""
    items = Items(Path(os.environ["BENCH_DATA"]))
    waiting: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=1) as pool,
        await aio_pika.connect(os.environ["AMQP_URL"]) as connection,
    ):
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        name = os.environ["BENCH_QUEUE"]
        queue = await channel.declare_queue(name, durable=True, arguments={**rows.QUORUM})
        replies = (await connection.channel(publisher_confirms=False)).default_exchange
        await queue.consume(waiting.put)
        while True:
            batch = [await waiting.get()]
            while len(batch) < BATCH and not waiting.empty():
                batch.append(waiting.get_nowait())
            answers = await asyncio.to_thread(items.rank, batch)
            ids = [UUID(answer.name) for answer in answers]
            await pool.execute(rows.FINISH, ids, [a.SerializeToString() for a in answers])
            for to in {message.reply_to or "" for message in batch}:
                told = [a for m, a in zip(batch, answers, strict=True) if m.reply_to == to]
                body = pb.ListRecommendationsResponse(recommendations=told).SerializeToString()
                await replies.publish(aio_pika.Message(body), to, mandatory=False)
            await batch[-1].ack(multiple=True)


if __name__ == "__main__":
    uvloop.run(main())
