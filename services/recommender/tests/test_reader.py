import asyncio
import datetime as dt

import pytest

from recmesh_jobs import reading
from recmesh_jobs.intake import Submission, store
from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_kit.telemetry.tracing import Tracing
from recmesh_recommender.reader import Reader


def job() -> Job:
    now = dt.datetime.now(dt.UTC)
    return Job(
        id=uuid7(now),
        catalog="films",
        user="ann",
        session="",
        lane=Lane.INTERACTIVE,
        query=b"",
        deadline=now + dt.timedelta(minutes=5),
        create_time=now,
        expire_time=now + dt.timedelta(days=1),
    )


async def test_what_calls_ask_for_at_once_is_read_by_one_statement(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = []

    async def read(*arguments: object, **options: object) -> object:
        statements.append(arguments)
        return await actual(*arguments, **options)  # type: ignore[arg-type]

    actual = reading.read
    monkeypatch.setattr(reading, "read", read)
    one, other, missing = job(), job(), job()
    async with database.driver() as connection:
        await store(connection, [Submission(j, None, b"") for j in (one, other)])
    reader = Reader(database, max_waiting=10, tracing=Tracing())
    asked = (one, missing, other, one)
    found = await asyncio.gather(*(reader.one(j.id) for j in asked))
    await reader.aclose()
    assert found == [one, None, other, one]
    assert len(statements) == 1
