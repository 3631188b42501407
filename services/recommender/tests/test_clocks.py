"""A recommender whose clock is a minute off, beside one whose clock is right."""

import datetime as dt
from dataclasses import replace

import pytest

from recmesh_jobs.job import Job
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from services.recommender.tests.conftest import Replica, replica_of, state
from services.recommender.tests.standin import working

MINUTE = dt.timedelta(minutes=1)


def put_off(replica: Replica, by: dt.timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the clock by which a replica makes jobs."""
    service = replica.recommender.service
    make = service._new

    def new(*asked: object) -> Job:
        job = make(*asked)  # type: ignore[arg-type]
        now = job.create_time + by
        return replace(
            job,
            id=uuid7(now),
            create_time=now,
            deadline=job.deadline + by,
            expire_time=job.expire_time + by,
        )

    monkeypatch.setattr(service, "_new", new)


@pytest.mark.parametrize("by", [-MINUTE, MINUTE])
async def test_a_job_is_answered_once_and_found_again_by_whatever_clock(
    database: Database, amqp_url: str, monkeypatch: pytest.MonkeyPatch, by: dt.timedelta
) -> None:
    async with (
        replica_of(database, amqp_url) as off,
        replica_of(database, amqp_url) as right,
        working(database, amqp_url) as worker,
    ):
        put_off(off, by, monkeypatch)
        done = await off.recommend(request_id="once")
        assert (state(done), done.attempt_count) == ("SUCCEEDED", 1)
        assert done.timings.total.ToTimedelta() >= dt.timedelta()
        again = await right.recommend(request_id="once")
        assert (again.name, state(again)) == (done.name, "SUCCEEDED")
        other = await right.recommend(request_id="twice")
        assert (await off.create(request_id="twice")).name == other.name
        assert len((await right.page()).recommendations) == 2
    assert len(worker.taken) == 2
