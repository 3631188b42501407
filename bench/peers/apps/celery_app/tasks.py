"""The worker's side: `celery -A bench.peers.apps.celery_app.tasks worker`."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery.signals import worker_init
from psycopg.types.json import Json
from psycopg_pool import ConnectionPool

from bench.peers.apps.celery_app.app import app
from bench.peers.apps.ranking import Ranked, Ranking
from bench.peers.apps.settings import Settings

_FINISH = "UPDATE recommendations SET state = 'succeeded', results = %s WHERE id = %s"


@cache
def _ranking() -> Ranking:
    return Ranking(Settings.from_environment().data)


@cache
def _pool() -> ConnectionPool[Any]:
    return ConnectionPool(
        Settings.from_environment().database_url,
        min_size=1,
        max_size=8,
        kwargs={"autocommit": True},
        open=True,
    )


@worker_init.connect
def _open(**_: object) -> None:
    """Items and connections are there before the first task. (A pool of processes would make them after the fork.)"""
    _ranking()
    _pool().wait()


@app.task(name="bench.recommend")
def recommend(job: str, item: str, limit: int) -> list[Ranked]:
    """Ranks, stores, answers."""
    results = _ranking().top(item, limit)
    with _pool().connection() as connection:
        connection.execute(_FINISH, (Json(results), job))
    return results
