"""The web side: the caller waits while its row is asked for by turns."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import pika
from fastapi import FastAPI, HTTPException
from pika.adapters.blocking_connection import BlockingChannel
from sqlmodel import Session, SQLModel, select

from bench.peers.apps.contract import Ask, Recommendation
from bench.peers.apps.settings import DEADLINE_SECONDS, Settings
from bench.peers.apps.sqlmodel_app.models import QUEUE, Job, make_engine
from bench.peers.apps.sqlmodel_app.queue import open_channel

_THREADS = 64
_CONNECTIONS = 16
_FIRST_CHECK_SECONDS = 0.02
_MOST_CHECK_SECONDS = 0.2
_settings = Settings.from_environment()
_engine = make_engine(_settings, _CONNECTIONS)
_own = threading.local()


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    SQLModel.metadata.create_all(_engine)
    yield
    _engine.dispose()


app = FastAPI(lifespan=_lifespan)


@app.post("/recommendations")
def create(ask: Ask) -> Recommendation:
    """Stores the job, sends it, waits for its row to be done."""
    job = Job(item=ask.item, limit=ask.limit)
    key = job.id
    with Session(_engine) as session:
        session.add(job)
        session.commit()
    _channel().basic_publish(
        "", QUEUE, str(key).encode(), pika.BasicProperties(delivery_mode=2), mandatory=True
    )
    until = time.monotonic() + DEADLINE_SECONDS
    pause = _FIRST_CHECK_SECONDS
    while time.monotonic() < until:
        time.sleep(pause)
        pause = min(pause * 2, _MOST_CHECK_SECONDS)
        with Session(_engine) as session:
            results = session.exec(select(Job.results).where(Job.id == key)).one()
        if results is not None:
            return Recommendation.model_validate({"id": str(key), "results": results})
    raise HTTPException(504)


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether calls are taken."""
    return {"status": "ok"}


def _channel() -> BlockingChannel:
    """This thread's own: pika's connections are not to be shared."""
    channel: BlockingChannel | None = getattr(_own, "channel", None)
    if channel is None or channel.is_closed:
        channel = _own.channel = open_channel(_settings)
        channel.confirm_delivery()
    return channel
