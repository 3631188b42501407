import datetime as dt
import random
from dataclasses import replace
from uuid import UUID

import pytest

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.events.v1 import job_events_pb2 as events
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation, Result
from recmesh_jobs import messages
from recmesh_jobs.job import Ended, Failure, Job
from recmesh_jobs.messages import Finished, UnsupportedVersion
from recmesh_jobs.shown import pack
from recmesh_jobs.states import Lane, State

ROUNDS = 200
ID = UUID("01932f3a-7b1c-7def-8123-456789abcdef")
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)
QUERY = Query(title="Чужой", limit=5, exclude_items=["catalogs/films/items/alien-1979"])
JOB = Job(
    id=ID,
    catalog="films",
    user="ada",
    session="visit",
    lane=Lane.INTERACTIVE,
    query=QUERY.SerializeToString(),
    deadline=AT + dt.timedelta(minutes=5),
    create_time=AT,
    expire_time=AT + dt.timedelta(days=7),
)
ANSWER = events.Answer(
    version=1, results=[Result(item="catalogs/films/items/ran", title="Ran", score=0.5)]
)
SUCCEEDED = Finished(
    Ended(ID, State.SUCCEEDED, 1, AT, AT + dt.timedelta(seconds=1)),
    answer=ANSWER.SerializeToString(),
)
FAILED = Finished(
    Ended(ID, State.FAILED, 5, None, AT),
    failure=Failure(reasons.ERROR_REASON_INTERNAL, "Broken."),
)
# As version 1 wrote them. They lie in queues while versions change: never make them anew.
JOB_V1 = bytes.fromhex(
    "0801121001932f3a7b1c7def8123456789abcdef1a0566696c6d7322036164612a2f0a0ad0a7d183d0b6d0be"
    "d0b930054a1f636174616c6f67732f66696c6d732f6974656d732f616c69656e2d31393739320c08d1eddcca"
    "061088eadcc3023a0c08a5ebdcca061088eadcc302"
)
FINISHED_V1 = bytes.fromhex(
    "080112600a1001932f3a7b1c7def8123456789abcdef10031801220c08a5ebdcca061088eadcc3022a0c08a6"
    "ebdcca061088eadcc302322c080112280a18636174616c6f67732f66696c6d732f6974656d732f72616e1203"
    "52616e19000000000000e03f12320a1001932f3a7b1c7def8123456789abcdef100418052a0c08a5ebdcca06"
    "1088eadcc3023a0c08a101120742726f6b656e2e"
)


def check_job(decoded: messages.Dispatched, job: Job) -> None:
    assert (decoded.id, decoded.catalog, decoded.user) == (job.id, job.catalog, job.user)
    assert (decoded.deadline, decoded.create_time) == (job.deadline, job.create_time)
    assert decoded.query.SerializeToString() == job.query


def test_a_job_goes_round() -> None:
    check_job(messages.decode_job(messages.encode_job(JOB)), JOB)


@pytest.mark.parametrize("shown", [[], ["alien-1979"], [f"film {n}, 映画" for n in range(40_000)]])
def test_what_a_chain_has_shown_goes_along(shown: list[str]) -> None:
    job = replace(JOB, shown=pack(shown))
    decoded = messages.decode_job(messages.encode_job(job))
    assert decoded.shown == tuple(shown)
    check_job(decoded, job)


def test_what_came_of_jobs_goes_round() -> None:
    jobs = [SUCCEEDED, FAILED]
    assert messages.decode_finished(messages.encode_finished(jobs)) == jobs


def test_any_job_goes_round() -> None:
    chance = random.Random(7)  # noqa: S311 - the same cases each time

    def word(most: int) -> str:
        return "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randrange(1, most)))

    for _ in range(ROUNDS):
        at = dt.datetime.fromtimestamp(chance.uniform(0, 4e9), dt.UTC)
        query = Query(text=word(2000), limit=chance.randrange(201), include_seen=True)
        job = Job(
            id=UUID(int=chance.getrandbits(128)),
            catalog=word(63),
            user=word(128),
            session="",
            lane=chance.choice(list(Lane)),
            query=query.SerializeToString(),
            deadline=at + dt.timedelta(microseconds=chance.randrange(10**9)),
            create_time=at,
            expire_time=at,
        )
        check_job(messages.decode_job(messages.encode_job(job)), job)


@pytest.mark.parametrize("decode", [messages.decode_job, messages.decode_finished])
def test_garbage_is_told(decode: object) -> None:
    """Random bytes, and messages cut off or changed in one place: decoded, or ValueError, and nothing else."""
    assert callable(decode)
    chance = random.Random(7)  # noqa: S311 - the same cases each time
    refused = 0
    for valid in (messages.encode_job(JOB), messages.encode_finished([SUCCEEDED, FAILED])):
        cases = [chance.randbytes(chance.randrange(200)) for _ in range(ROUNDS)]
        cases += [valid[:n] for n in range(len(valid))]
        for place in range(len(valid)):
            changed = bytearray(valid)
            changed[place] ^= chance.randrange(1, 256)
            cases.append(bytes(changed))
        for case in cases:
            try:
                decode(case)
            except (ValueError, UnsupportedVersion):
                refused += 1
    assert refused > ROUNDS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        events.JobDispatched(id=ID.bytes).SerializeToString(),
        events.JobDispatched(version=1, id=b"short").SerializeToString(),
        events.JobDispatched(version=-1, id=ID.bytes).SerializeToString(),
    ],
)
def test_what_is_no_job_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="JobDispatched"):
        messages.decode_job(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        events.JobsFinished(
            version=1, jobs=[events.FinishedJob(id=b"short", state=Recommendation.STATE_FAILED)]
        ).SerializeToString(),
        events.JobsFinished(version=1, jobs=[events.FinishedJob(id=ID.bytes)]).SerializeToString(),
    ],
)
def test_what_is_no_reply_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="JobsFinished"):
        messages.decode_finished(body)


def test_a_newer_version_is_told_apart() -> None:
    with pytest.raises(UnsupportedVersion):
        messages.decode_job(events.JobDispatched(version=2, id=ID.bytes).SerializeToString())
    with pytest.raises(UnsupportedVersion):
        messages.decode_finished(events.JobsFinished(version=2).SerializeToString())


def test_what_version_1_wrote_is_understood() -> None:
    check_job(messages.decode_job(JOB_V1), JOB)
    assert messages.decode_finished(FINISHED_V1) == [SUCCEEDED, FAILED]


def test_an_announcement_names_the_job() -> None:
    told = events.RecommendationsFinished.FromString(messages.encode_announcement(JOB))
    assert (told.version, told.catalog) == (1, "films")
    (one,) = told.recommendations
    assert one.name == f"catalogs/films/recommendations/{ID}"
    assert (one.user, one.state) == ("ada", Recommendation.STATE_QUEUED)
