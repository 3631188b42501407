"""The web side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from fastapi import FastAPI

from bench.peers.apps.contract import Ask, Recommendation
from bench.peers.apps.schema import CREATE
from bench.peers.apps.settings import DEADLINE_SECONDS, Settings
from bench.peers.apps.taskiq_app.tasks import broker, recommend

_CONNECTIONS = 8
_CHECK_SECONDS = 0.02
_INSERT = 'INSERT INTO recommendations (id, item, "limit") VALUES ($1, $2, $3)'


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        Settings.from_environment().database_url, min_size=_CONNECTIONS, max_size=_CONNECTIONS
    ) as pool:
        async with pool.acquire() as connection, connection.transaction():
            for statement in CREATE:
                await connection.execute(statement)
        app.state.pool = pool
        await broker.startup()
        yield
        await broker.shutdown()


app = FastAPI(lifespan=_lifespan)


@app.post("/recommendations")
async def create(ask: Ask) -> Recommendation:
    """Stores the job, sends it, waits for its answer."""
    job = str(uuid4())
    await app.state.pool.execute(_INSERT, job, ask.item, ask.limit)
    task = await recommend.kicker().with_task_id(job).kiq(ask.item, ask.limit)
    result = await task.wait_result(check_interval=_CHECK_SECONDS, timeout=DEADLINE_SECONDS)
    result.raise_for_error()
    return Recommendation.model_validate({"id": job, "results": result.return_value})


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether calls are taken."""
    return {"status": "ok"}
