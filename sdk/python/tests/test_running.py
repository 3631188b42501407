"""Queues, dead letters and comparisons: what those see who run a deployment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sdk.python.tests.fake import Failure, Fake

from recmesh.common.v1 import error_reason_pb2
from recmesh.recommender.v1 import queue_service_pb2 as pb
from recmesh.recommender.v1.index_service_pb2 import VerifyIndexResponse
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_client import (
    AsyncClient,
    Client,
    ErrorReason,
    IndexComparison,
    IndexFinding,
    Queue,
    QueueStats,
    Token,
    TooManyCalls,
    Unavailable,
)

JOB = "catalogs/films/recommendations/1"
FOUND = VerifyIndexResponse(
    items=VerifyIndexResponse.Finding(
        checked_count=9,
        missing_count=1,
        stale_count=2,
        surplus_count=3,
        repaired_count=6,
        samples=["alien"],
    ),
    interactions=VerifyIndexResponse.Finding(checked_count=4, missing_count=1),
    done=True,
)


async def test_the_figures_of_queues(client: AsyncClient, fake: Fake) -> None:
    bulk = pb.QueueStats.Queue(
        id="bulk",
        ready_count=1,
        unacknowledged_count=2,
        consumer_count=3,
        oldest_age=Duration(seconds=4),
    )
    stats = pb.QueueStats(
        queues=[bulk, pb.QueueStats.Queue(id="index")],
        unfinished_count=5,
        admission_limit=6,
        dead_letter_count=7,
        broker_reachable=True,
    )
    fake.script("GetQueueStats", stats, pb.QueueStats())
    queues = (Queue("bulk", 1, 2, 3, timedelta(seconds=4)), Queue("index", 0, 0, 0, None))
    assert await client.get_queue_stats() == QueueStats(queues, 5, 6, 7, True)
    assert not (await client.get_queue_stats()).broker_reachable


async def test_dead_letters_say_why_and_when(client: AsyncClient, fake: Fake) -> None:
    job = Recommendation(name=JOB, state=Recommendation.STATE_FAILED, attempt_count=5)
    job.error.reason = error_reason_pb2.ERROR_REASON_ATTEMPTS_EXHAUSTED
    letter = pb.DeadLetter(recommendation=job, create_time=Timestamp(seconds=60))
    fake.script("ListDeadLetters", pb.ListDeadLettersResponse(dead_letters=[letter]))
    (found,) = [one async for one in client.list_dead_letters(catalog="films")]
    assert found.recommendation.error is not None
    assert found.recommendation.error.reason is ErrorReason.ATTEMPTS_EXHAUSTED
    assert found.create_time == datetime.fromtimestamp(60, UTC)
    assert found.redrive_time is None
    assert fake.calls[0].request.parent == "catalogs/films"


async def test_a_comparison_shows_how_far_it_is(client: AsyncClient, fake: Fake) -> None:
    begun = VerifyIndexResponse(items=VerifyIndexResponse.Finding(checked_count=2))
    fake.script("VerifyIndex", [begun, FOUND])
    seen = [one async for one in client.verify_index("films", repair=True)]
    assert [(one.items.checked, one.done) for one in seen] == [(2, False), (9, True)]
    assert seen[-1] == IndexComparison(
        IndexFinding(9, 1, 2, 3, 6, ("alien",)), IndexFinding(4, 1, 0, 0, 0, ()), True
    )
    assert (seen[-1].differing, seen[-1].repaired) == (7, 6)
    asked = fake.calls[0].request
    assert (asked.parent, asked.repair) == ("catalogs/films", True)


async def test_a_comparison_to_its_end(client: AsyncClient, fake: Fake) -> None:
    fake.script("VerifyIndex", [VerifyIndexResponse(), FOUND])
    assert (await client.compare_index("films")).differing == 7
    assert not fake.calls[0].request.repair


async def test_the_client_that_waits_has_both(fake: Fake) -> None:
    fake.script("VerifyIndex", [VerifyIndexResponse(), FOUND], [FOUND])

    def use() -> None:
        with Client.connect(fake.target, credentials=Token("t")) as client:
            assert [one.done for one in client.verify_index("films")] == [False, True]
            assert client.compare_index("films").done

    await asyncio.to_thread(use)


async def test_a_comparison_that_breaks_is_not_resumed(client: AsyncClient, fake: Fake) -> None:
    """It would count anew what it has counted."""
    away = Failure(grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    fake.script("VerifyIndex", [VerifyIndexResponse(), away])
    with pytest.raises(Unavailable):
        await client.compare_index("films")


async def test_a_second_comparison_is_told_when_to_come_back(
    client: AsyncClient, fake: Fake
) -> None:
    busy = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", retry_after=3600)
    fake.script("VerifyIndex", busy)
    with pytest.raises(TooManyCalls) as caught:
        await client.compare_index("films", timeout=60)
    assert caught.value.retry_after == 3600
