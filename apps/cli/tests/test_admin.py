"""`recmesh admin`."""

from __future__ import annotations

import grpc
import pytest
from apps.cli.tests.conftest import Recmesh
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sdk.python.tests.fake import Failure, Fake

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.recommender.v1.index_service_pb2 import VerifyIndexResponse
from recmesh.recommender.v1.queue_service_pb2 import (
    DeadLetter,
    ListDeadLettersResponse,
    QueueStats,
    RedriveDeadLettersResponse,
)
from recmesh.recommender.v1.recommendation_pb2 import Recommendation

pytestmark = pytest.mark.usefixtures("signed_in")

JOB = "catalogs/films/recommendations/1"
QUEUES = [
    QueueStats.Queue(
        id="bulk",
        ready_count=1234,
        unacknowledged_count=64,
        consumer_count=2,
        oldest_age=Duration(seconds=7500),
    ),
    QueueStats.Queue(id="index", consumer_count=1),
]
FIGURES = QueueStats(
    queues=QUEUES,
    unfinished_count=1298,
    admission_limit=10_000,
    dead_letter_count=3,
    broker_reachable=True,
)
Finding = VerifyIndexResponse.Finding


def letter(redriven: bool = False) -> DeadLetter:
    job = Recommendation(name=JOB, state=Recommendation.STATE_FAILED, attempt_count=5)
    job.error.reason = reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    job.error.message = "It was tried 5 times."
    made = DeadLetter(recommendation=job, create_time=Timestamp(seconds=1_700_000_000))
    if redriven:
        made.redrive_time.FromSeconds(1_700_000_060)
    return made


def compared(**items: int) -> VerifyIndexResponse:
    return VerifyIndexResponse(
        items=Finding(checked_count=9, samples=["alien"], **items),
        interactions=Finding(checked_count=4),
        done=True,
    )


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


async def test_queues(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("GetQueueStats", FIGURES)
    done = await recmesh("admin", "queues")
    assert done.code == 0
    _, bulk, index, said = rows(done.out)
    assert bulk == ["bulk", "1,234", "64", "2", "2", "h", "5", "min"]
    assert index == ["index", "0", "0", "1", "—"]
    assert " ".join(said) == "1,298 of at most 10,000 jobs unfinished; 3 given up."
    assert "recmesh admin dead-letters" in done.err


async def test_queues_without_the_broker(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("GetQueueStats", QueueStats(queues=QUEUES[:1]))
    done = await recmesh("admin", "queues")
    assert rows(done.out)[1] == ["bulk", "?", "64", "?", "2", "h", "5", "min"]
    assert done.err.startswith("The broker is away")


async def test_figures_for_programs(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("GetQueueStats", FIGURES)
    said = (await recmesh("admin", "queues", "--json")).json
    assert said["queues"][0] == {
        "id": "bulk",
        "ready": 1234,
        "unacknowledged": 64,
        "consumers": 2,
        "oldest_age": 7500.0,
    }
    assert (said["unfinished"], said["dead_letters"], said["broker_reachable"]) == (1298, 3, True)


async def test_dead_letters(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("ListDeadLetters", ListDeadLettersResponse(dead_letters=[letter(), letter(True)]))
    done = await recmesh("admin", "dead-letters", "--catalog", "films", "--limit", "2", TZ="UTC")
    why = "attempts_exhausted: It was tried 5 times."
    assert done.out.splitlines() == [
        f"2023-11-14 22:13, attempt 5: {why}",
        f"  {JOB}",
        f"2023-11-14 22:13, attempt 5, put back 2023-11-14 22:14: {why}",
        f"  {JOB}",
    ]
    assert "--filter 'reason = ERROR_REASON_ATTEMPTS_EXHAUSTED'" in done.err
    asked = fake.calls[0].request
    assert (asked.parent, asked.page_size) == ("catalogs/films", 2)


async def test_no_dead_letters(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("ListDeadLetters", ListDeadLettersResponse(), ListDeadLettersResponse())
    assert (await recmesh("admin", "dead-letters")).out == "Nothing was given up.\n"
    assert (await recmesh("admin", "dead-letters", "--json")).json == {"dead_letters": []}


async def test_dead_letters_for_programs(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("ListDeadLetters", ListDeadLettersResponse(dead_letters=[letter()]))
    (said,) = (await recmesh("admin", "dead-letters", "--json")).json["dead_letters"]
    assert (said["name"], said["redrive_time"]) == (JOB, None)
    assert said["recommendation"]["error"]["reason"] == "attempts_exhausted"


async def test_jobs_are_put_back_by_name(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("RedriveDeadLetters", RedriveDeadLettersResponse(redriven_count=1))
    assert (await recmesh("admin", "redrive", JOB)).out == "1 job put back.\n"
    asked = fake.calls[0].request
    assert (list(asked.names), asked.dry_run) == ([JOB], False)


async def test_a_few_jobs_are_put_back_without_a_question(fake: Fake, recmesh: Recmesh) -> None:
    few = RedriveDeadLettersResponse(redriven_count=50)
    fake.script("RedriveDeadLetters", few, few)
    done = await recmesh("admin", "redrive", "--filter", "reason = ERROR_REASON_INTERNAL", "--json")
    assert done.json == {"redriven": 50, "dry_run": False}
    assert [call.request.dry_run for call in fake.calls] == [True, False]
    assert fake.calls[1].request.filter == "reason = ERROR_REASON_INTERNAL"


async def test_many_jobs_are_put_back_only_when_that_is_said(fake: Fake, recmesh: Recmesh) -> None:
    many = RedriveDeadLettersResponse(redriven_count=51)
    fake.script("RedriveDeadLetters", many, many)
    done = await recmesh("admin", "redrive", "--filter", "*")
    assert (done.code, done.out) == (2, "")
    assert "51 jobs would be put back" in done.err
    assert "--yes" in done.err
    assert [call.request.dry_run for call in fake.calls] == [True]
    assert (
        await recmesh("admin", "redrive", "--filter", "*", "--yes")
    ).out == "51 jobs put back.\n"
    assert not fake.calls[-1].request.dry_run


async def test_a_dry_run_puts_nothing_back(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("RedriveDeadLetters", RedriveDeadLettersResponse(redriven_count=99))
    done = await recmesh("admin", "redrive", "--filter", "*", "--dry-run")
    assert done.out == "99 jobs would be put back.\n"
    assert [call.request.dry_run for call in fake.calls] == [True]


@pytest.mark.parametrize("arguments", [[], [JOB, "--filter", "*"]])
async def test_what_to_put_back_is_said_in_one_way(
    fake: Fake, recmesh: Recmesh, arguments: list[str]
) -> None:
    done = await recmesh("admin", "redrive", *arguments)
    assert (done.code, done.out) == (2, "")
    assert not fake.calls


async def test_a_comparison_without_differences(fake: Fake, recmesh: Recmesh) -> None:
    same = VerifyIndexResponse(items=Finding(checked_count=9), done=True)
    fake.script("VerifyIndex", [VerifyIndexResponse(), same])
    done = await recmesh("admin", "verify", "films")
    assert done.code == 0
    assert rows(done.out)[1] == ["items", "9", "0", "0", "0", "0"]
    assert done.out.splitlines()[-1] == "Nothing differs."
    asked = fake.calls[0].request
    assert (asked.parent, asked.repair) == ("catalogs/films", False)


async def test_differences_that_are_not_repaired_end_with_1(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("VerifyIndex", [compared(missing_count=1, stale_count=2, surplus_count=3)])
    done = await recmesh("admin", "verify", "films")
    assert done.code == 1
    assert rows(done.out)[1] == ["items", "9", "1", "2", "3", "0"]
    assert "Items that differ: alien, …" in done.out
    assert "recmesh admin verify films --repair" in done.err


async def test_differences_that_are_repaired(fake: Fake, recmesh: Recmesh) -> None:
    found = compared(missing_count=1, repaired_count=1)
    fake.script("VerifyIndex", [found], [found])
    done = await recmesh("admin", "verify", "films", "--repair")
    assert done.code == 0
    assert fake.calls[0].request.repair
    assert "Told once more" in done.err
    said = (await recmesh("admin", "verify", "films", "--repair", "--json")).json
    assert (said["catalog"], said["done"]) == ("films", True)
    assert said["items"] == {
        "checked": 9,
        "missing": 1,
        "stale": 0,
        "surplus": 0,
        "repaired": 1,
        "samples": ["alien"],
    }


async def test_a_comparison_that_breaks_is_an_error(fake: Fake, recmesh: Recmesh) -> None:
    away = Failure(grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "The broker is away.")
    fake.script("VerifyIndex", [compared(), away])
    done = await recmesh("admin", "verify", "films", "--repair")
    assert (done.code, done.out) == (1, "")
    assert "The broker is away." in done.err
