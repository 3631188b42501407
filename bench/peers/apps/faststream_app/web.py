"""The web side: `broker.request` takes one call at a time, so that answers come to a queue with a subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
from fastapi import FastAPI
from faststream.rabbit import RabbitQueue

from bench.peers.apps.contract import Ask, Recommendation
from bench.peers.apps.faststream_app.messages import JOBS, make_broker
from bench.peers.apps.schema import CREATE
from bench.peers.apps.settings import DEADLINE_SECONDS, Settings

_CONNECTIONS = 8
_INSERT = 'INSERT INTO recommendations (id, item, "limit") VALUES ($1, $2, $3)'
_settings = Settings.from_environment()
_broker = make_broker(_settings)
_replies = RabbitQueue(
    f"bench.faststream.replies.{uuid4()}", durable=False, exclusive=True, auto_delete=True
)
_waiting: dict[str, asyncio.Future[Any]] = {}


@_broker.subscriber(_replies)
async def _answered(answer: dict[str, Any]) -> None:
    waiting = _waiting.get(answer["id"])
    if waiting is not None and not waiting.done():
        waiting.set_result(answer)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        _settings.database_url, min_size=_CONNECTIONS, max_size=_CONNECTIONS
    ) as pool:
        async with pool.acquire() as connection, connection.transaction():
            for statement in CREATE:
                await connection.execute(statement)
        app.state.pool = pool
        async with _broker:
            await _broker.start()
            await _broker.declare_queue(JOBS)
            yield


app = FastAPI(lifespan=_lifespan)


@app.post("/recommendations")
async def create(ask: Ask) -> Recommendation:
    """Stores the job, sends it, waits for its answer."""
    job = str(uuid4())
    waiting = _waiting[job] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await app.state.pool.execute(_INSERT, job, ask.item, ask.limit)
            message = {"id": job, "item": ask.item, "limit": ask.limit}
            await _broker.publish(message, JOBS, reply_to=_replies.name, persist=True)
            return Recommendation.model_validate(await waiting)
    finally:
        del _waiting[job]


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether calls are taken."""
    return {"status": "ok"}
