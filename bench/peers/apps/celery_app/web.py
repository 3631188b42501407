"""The web side. Celery's client blocks, so that calls to it have threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from psycopg_pool import ConnectionPool

from bench.peers.apps.celery_app.tasks import recommend
from bench.peers.apps.contract import Ask, Recommendation
from bench.peers.apps.schema import CREATE
from bench.peers.apps.settings import DEADLINE_SECONDS, Settings

_THREADS = 64
_INSERT = 'INSERT INTO recommendations (id, item, "limit") VALUES (%s, %s, %s)'
_pool: ConnectionPool[Any] = ConnectionPool(
    Settings.from_environment().database_url,
    min_size=8,
    max_size=8,
    kwargs={"autocommit": True},
    open=False,
)
# Each thread has its own reply queue, named by its identity. Those that FastAPI runs a plain function in end when they
# are idle, and one that is made later may get the name, while the old connection still takes replies.
_threads = ThreadPoolExecutor(_THREADS, "celery")


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    _pool.open(wait=True)
    with _pool.connection() as connection, connection.transaction():
        for statement in CREATE:
            connection.execute(statement)
    yield
    _threads.shutdown()
    _pool.close()


app = FastAPI(lifespan=_lifespan)


@app.post("/recommendations")
async def create(ask: Ask) -> Recommendation:
    """Stores the job, sends it, waits for its answer."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _recommend, ask)


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether calls are taken."""
    return {"status": "ok"}


def _recommend(ask: Ask) -> Recommendation:
    job = str(uuid4())
    with _pool.connection() as connection:
        connection.execute(_INSERT, (job, ask.item, ask.limit))
    results = recommend.apply_async((job, ask.item, ask.limit), task_id=job).get(
        timeout=DEADLINE_SECONDS
    )
    return Recommendation(id=job, results=results)
