"""Jobs that are waited for: created before, continued, or left behind by a call that took too long."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from sdk.python.tests.fake import Failure, Fake, Hang

from recmesh.common.v1 import error_reason_pb2
from recmesh.recommender.v1.recommendation_pb2 import JobError, Result
from recmesh.recommender.v1.recommendation_pb2 import Recommendation as Wire
from recmesh_client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    ErrorReason,
    FailedPrecondition,
    JobFailed,
    Retry,
    Token,
)

FIRST, NEXT = (f"catalogs/films/recommendations/{n}" for n in (1, 2))
AWAY = Failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


def job(name: str, state: Wire.State.ValueType) -> Wire:
    results = [Result(item="catalogs/films/items/alien-1979", title="Alien", score=0.5)]
    return Wire(name=name, state=state, results=results if state == Wire.STATE_SUCCEEDED else ())


QUEUED, DONE = job(NEXT, Wire.STATE_QUEUED), job(NEXT, Wire.STATE_SUCCEEDED)


async def test_a_job_is_waited_for_over_a_break(client: AsyncClient, fake: Fake) -> None:
    fake.script("WatchRecommendation", [QUEUED, AWAY], [DONE])
    answer = await client.wait_for(NEXT)
    assert [result.title for result in answer.results] == ["Alien"]


async def test_again_continues_and_waits(client: AsyncClient, fake: Fake) -> None:
    fake.script("ContinueRecommendation", AWAY, QUEUED)
    fake.script("WatchRecommendation", [QUEUED, DONE])
    answer = await client.recommend_again(FIRST, limit=3)
    assert answer.name == NEXT
    tries = [call.request for call in fake.of("ContinueRecommendation")]
    assert {(asked.name, asked.limit) for asked in tries} == {(FIRST, 3)}
    assert tries[0].request_id == tries[1].request_id != ""
    assert fake.of("WatchRecommendation")[0].request.name == NEXT


async def test_again_after_a_job_that_has_not_ended(client: AsyncClient, fake: Fake) -> None:
    fake.script(
        "ContinueRecommendation", Failure(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    )
    with pytest.raises(FailedPrecondition):
        await client.recommend_again(FIRST)


async def test_a_job_that_takes_too_long_is_named(client: AsyncClient, fake: Fake) -> None:
    fake.always("WatchRecommendation", lambda _: [QUEUED, Hang()])
    with pytest.raises(DeadlineExceeded) as raised:
        await client.wait_for(NEXT, timeout=0.3)
    assert raised.value.reason is ErrorReason.JOB_NOT_FINISHED
    assert raised.value.recommendation == NEXT


async def test_a_job_without_an_answer_raises_what_it_ended_with(
    client: AsyncClient, fake: Fake
) -> None:
    failed = job(NEXT, Wire.STATE_FAILED)
    reason = error_reason_pb2.ERROR_REASON_ATTEMPTS_EXHAUSTED
    failed.error.CopyFrom(JobError(reason=reason, message="no"))
    fake.script("WatchRecommendation", [failed], [job(NEXT, Wire.STATE_CANCELLED)])
    with pytest.raises(JobFailed) as raised:
        await client.wait_for(NEXT)
    assert raised.value.reason is ErrorReason.ATTEMPTS_EXHAUSTED
    assert raised.value.recommendation == NEXT
    with pytest.raises(Cancelled):
        await client.wait_for(NEXT)


async def test_the_client_that_waits_has_both(fake: Fake) -> None:
    fake.script("ContinueRecommendation", QUEUED)
    fake.script("WatchRecommendation", [DONE], [DONE])

    def use() -> None:
        retry = Retry(base=0.001)
        with Client.connect(fake.target, credentials=Token("t"), retry=retry) as client:
            answer = client.recommend_again(FIRST)
            assert client.wait_for(answer) == answer

    await asyncio.to_thread(use)
