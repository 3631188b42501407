"""What version 1 wrote, read by the code of today: messages in queues, bytes in rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from google.protobuf.message import Message

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.events.v1.job_events_pb2 import Answer, IndexAdvanced, RecommendationsFinished
from recmesh.recommender.v1.query_pb2 import HistorySeed, ItemsSeed, Query
from recmesh.recommender.v1.recommendation_pb2 import Reason, Recommendation, Result
from recmesh_jobs import messages
from recmesh_jobs.job import Ended, Failure, Job
from recmesh_jobs.messages import Dispatched, Finished, UnsupportedVersion
from recmesh_jobs.shown import unpack
from recmesh_jobs.states import Lane, State
from tests.recorded import VERSION_1, recorded

OLD = recorded(VERSION_1)
ID = UUID("01932f3a-7b1c-7def-8123-456789abcdef")
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)
LATER = AT + dt.timedelta(minutes=5)
SHOWN = ("alien-1979", "ran", "Чужой", "映画")
ALIEN, RAN = "catalogs/films/items/alien-1979", "catalogs/films/items/ran"
QUERIES = {
    "title": Query(title="Чужой", limit=5),
    "item": Query(item=ALIEN, limit=10, include_seen=True),
    "text": Query(
        text="a heist inside a dream",
        limit=200,
        filter='release_year >= 1980 AND genres:"Crime"',
        strict_filter=True,
        exclude_items=[RAN],
        diversity=Query.DIVERSITY_HIGH,
        serving_config="catalogs/films/servingConfigs/default",
    ),
    "history": Query(history=HistorySeed(), limit=10, diversity=Query.DIVERSITY_LOW),
    "items": Query(items=ItemsSeed(items=[RAN, ALIEN]), limit=1),
}
ANSWER = Answer(
    version=1,
    results=[
        Result(
            item="catalogs/films/items/blade-runner",
            title="Blade Runner",
            score=0.75,
            reasons=[
                Reason(
                    type=Reason.TYPE_SIMILAR_TO,
                    item=ALIEN,
                    title="Alien",
                    genres=["Horror"],
                    directors=["Ridley Scott"],
                    cast=["Ian Holm"],
                ),
                Reason(type=Reason.TYPE_MATCHES_TEXT),
            ],
        ),
        Result(item=RAN, title="乱", score=0.5, reasons=[Reason(type=Reason.TYPE_POPULAR)]),
    ],
    resolved_item=ALIEN,
    resolved_title="Alien",
    resolve_confidence=0.9,
    fallback=Recommendation.FALLBACK_TEXT,
    filter_relaxed=True,
    model="catalogs/films/models/content",
)
ANSWER.timings.queue.FromTimedelta(dt.timedelta(milliseconds=12))
ANSWER.timings.rank.FromTimedelta(dt.timedelta(microseconds=3400))
FINISHED = [
    Finished(Ended(ID, State.SUCCEEDED, 1, AT, AT + dt.timedelta(seconds=1))),
    Finished(
        Ended(ID, State.FAILED, 5, None, AT),
        failure=Failure(reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED, "Broken."),
    ),
    Finished(
        Ended(ID, State.EXPIRED, 0, None, AT),
        failure=Failure(reasons.ERROR_REASON_JOB_EXPIRED, "Late."),
    ),
]
UNKNOWN = b"\xba\x3e\x03new"
"""A field, number 999, as a newer version may have added."""
JOBS = [name for name in OLD if name.startswith("message job ")]
Decode = Callable[[bytes], object]


def dispatched(query: Query, *shown: str) -> Dispatched:
    return Dispatched(ID, "films", "ada", query, LATER, AT, shown)


@pytest.mark.parametrize("kind", QUERIES)
def test_a_dispatched_job(kind: str) -> None:
    assert messages.decode_job(OLD[f"message job {kind}"]) == dispatched(QUERIES[kind])


def test_a_dispatched_job_that_continues_others() -> None:
    found = messages.decode_job(OLD["message job continued"])
    assert found == dispatched(QUERIES["title"], *SHOWN)


def test_finished_jobs() -> None:
    found = messages.decode_finished(OLD["message jobs finished"])
    assert [replace(job, answer=None) for job in found] == FINISHED
    assert [job.answer for job in found[1:]] == [None, None]
    assert Answer.FromString(found[0].answer or b"") == ANSWER


def test_what_listeners_are_told() -> None:
    """They are other people's programs; these here read it by the contract as well."""
    told = RecommendationsFinished.FromString(OLD["message recommendations finished"])
    (one,) = told.recommendations
    assert (told.version, told.catalog, one.user) == (1, "films", "ada")
    assert one.name == f"catalogs/films/recommendations/{ID}"
    assert one.state == Recommendation.STATE_SUCCEEDED
    index = IndexAdvanced(version=1, catalog="films", sequence=2**40, searchable_item_count=9_999)
    assert IndexAdvanced.FromString(OLD["message index advanced"]) == index


@pytest.mark.parametrize("kind", QUERIES)
def test_the_query_of_a_row(kind: str) -> None:
    """It is dispatched again, by whichever version runs then."""
    row = Job(
        id=ID,
        catalog="films",
        user="ada",
        session="visit",
        lane=Lane.INTERACTIVE,
        query=OLD[f"row query {kind}"],
        deadline=LATER,
        create_time=AT,
        expire_time=LATER,
        shown=OLD["row shown"],
    )
    assert Query.FromString(row.query) == QUERIES[kind]
    assert messages.decode_job(messages.encode_job(row)) == dispatched(QUERIES[kind], *SHOWN)


def test_the_answer_of_a_row_and_what_was_shown_before_it() -> None:
    assert Answer.FromString(OLD["row answer"]) == ANSWER
    assert unpack(OLD["row shown"]) == list(SHOWN)


@pytest.mark.parametrize("name", [*JOBS, "message jobs finished"])
def test_a_field_that_is_not_known_is_passed_over(name: str) -> None:
    decode: Decode = messages.decode_job if name in JOBS else messages.decode_finished
    assert decode(OLD[name] + UNKNOWN) == decode(OLD[name])


@pytest.mark.parametrize("name", [*JOBS, "message jobs finished"])
def test_a_newer_version_is_left_alone(name: str) -> None:
    decode: Decode = messages.decode_job if name in JOBS else messages.decode_finished
    first, version, *rest = OLD[name]
    assert (first, version) == (0x08, 1)
    with pytest.raises(UnsupportedVersion):
        decode(bytes([first, version + 1, *rest]))


def test_what_a_newer_version_added_to_a_query_or_an_answer_is_handed_on() -> None:
    """An old recommender sends a newer one's rows on, an old one tells what a newer worker has answered."""
    row = Job(
        id=ID,
        catalog="films",
        user="ada",
        session="",
        lane=Lane.INTERACTIVE,
        query=OLD["row query title"] + UNKNOWN,
        deadline=LATER,
        create_time=AT,
        expire_time=LATER,
    )
    assert kept(messages.decode_job(messages.encode_job(row)).query)
    told = Finished(Ended(ID, State.SUCCEEDED, 1, AT, LATER), answer=OLD["row answer"] + UNKNOWN)
    (heard,) = messages.decode_finished(messages.encode_finished([told]))
    assert kept(Answer.FromString(heard.answer or b""))


def kept(message: Message) -> bool:
    return message.SerializeToString().endswith(UNKNOWN)
