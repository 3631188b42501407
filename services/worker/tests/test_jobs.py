import asyncio
import datetime as dt
from dataclasses import replace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.events.v1.job_events_pb2 import Answer as AnswerMessage
from recmesh.events.v1.job_events_pb2 import JobDispatched
from recmesh.recommender.v1.query_pb2 import HistorySeed, Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened, HistoryRepository
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.shown import pack
from recmesh_jobs.states import State
from recmesh_kit.database import Database
from recmesh_worker.answering import BULK_SLICE
from recmesh_worker.delays import CLOCKS_APART
from services.worker.tests.conftest import (
    Asking,
    do,
    eventually,
    indexed,
    put,
    results,
)
from services.worker.tests.working import Worker


def event(item: str, minute: int) -> Event:
    at = dt.datetime(2026, 1, 1, 0, minute, tzinfo=dt.UTC)
    return Event(item, Interaction.TYPE_LIKE, None, at.timestamp())


async def test_jobs_of_two_catalogs_are_one_batch_and_one_reply(
    worker: Worker, asking: Asking, films: str, database: Database
) -> None:
    other = f"{films}-2"
    await put(database, worker.encoder, indexed(other, "heat"), indexed(other, "heat-again"))
    await worker.read_model.load(other)
    jobs = [
        await asking.ask(films, Query(title="alien", limit=1)),
        await asking.ask(films, Query(item=f"catalogs/{films}/items/heat", limit=1)),
        await asking.ask(other, Query(title="heat", limit=1)),
    ]
    await do(worker, asking, 3)
    read = [await asking.read(job) for job in jobs]
    assert [job.state for job in read] == [State.SUCCEEDED] * 3
    assert [results(job) for job in read] == [["alien-nation"], ["heat-wave"], ["heat-again"]]
    await asking.heard(jobs[0])
    (reply,) = asking.replies
    assert {one.ended.id: one.answer for one in reply} == {job.id: job.answer for job in read}


async def test_an_answer_says_what_was_understood_and_by_which_model(
    worker: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(title="alein"))
    await do(worker, asking, 1)
    told = await asking.heard(job)
    assert told.answer is not None
    answer = AnswerMessage.FromString(told.answer)
    assert answer.resolved_item == f"catalogs/{films}/items/alien"
    assert answer.resolved_title == "Alien"
    assert 0.5 < answer.resolve_confidence < 1
    assert answer.model == f"catalogs/{films}/models/content"
    assert answer.fallback == Recommendation.FALLBACK_UNSPECIFIED


async def test_words_are_encoded_for_texts_and_unknown_titles_only(
    worker: Worker, asking: Asking, films: str
) -> None:
    jobs = [
        await asking.ask(films, Query(text="heat wave", limit=1)),
        await asking.ask(films, Query(title="alien")),
        await asking.ask(films, Query(title="zzzzzz")),
    ]
    await do(worker, asking, 3)
    assert sorted(worker.encoder.texts) == ["heat wave", "zzzzzz"]
    assert results(await asking.read(jobs[0])) == ["heat-wave"]


async def test_a_cancelled_job_is_not_computed(worker: Worker, asking: Asking, films: str) -> None:
    job = await asking.ask(films, Query(title="alien"))
    async with asking.owner.transaction() as session:
        await JobRepository(session).cancel(job.id)
    await do(worker, asking, 1)
    assert worker.ranker.ranked == []
    assert (await asking.read(job)).state is State.CANCELLED


async def test_a_job_past_its_deadline_is_expired_and_said_to_be(
    worker: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(title="alien"), deadline=dt.datetime.now(dt.UTC))
    await do(worker, asking, 1)
    assert worker.ranker.ranked == []
    told = await asking.heard(job)
    assert told.ended.state is State.EXPIRED
    assert told.failure is not None
    assert told.failure.reason == reasons.ERROR_REASON_JOB_EXPIRED


async def test_a_doubled_message_is_computed_once(
    worker: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(title="alien"))
    await asking.send(job)
    await do(worker, asking, 2)
    await asking.send(job)
    await do(worker, asking, 1)
    assert worker.ranker.ranked == ["alien"]
    assert (await asking.read(job)).attempts == 1


async def test_a_job_that_another_worker_has_is_left_alone(
    worker: Worker, asking: Asking, films: str, database: Database
) -> None:
    job = await asking.ask(films, Query(title="alien"))
    async with database.driver() as connection:
        await LeaseRepository(connection, "another").claim([job.id], 30)
    await do(worker, asking, 1)
    assert worker.ranker.ranked == []
    assert (await asking.read(job)).state is State.RUNNING


async def test_a_job_that_breaks_the_ranking_fails_alone(
    worker: Worker, asking: Asking, films: str
) -> None:
    jobs = [await asking.ask(films, Query(title=title)) for title in ("alien", "poison", "heat")]
    await do(worker, asking, 3)
    assert [(await asking.read(job)).state for job in jobs] == [
        State.SUCCEEDED,
        State.FAILED,
        State.SUCCEEDED,
    ]
    letters = await asking.sql(
        "SELECT reason, attempts FROM recommender.dead_letters WHERE job_id = :id", id=jobs[1].id
    )
    assert letters == [(reasons.ERROR_REASON_INTERNAL, 1)]
    told = await asking.heard(jobs[1])
    assert told.failure is not None
    assert "RuntimeError" not in told.failure.message


async def test_a_text_that_breaks_the_encoder_fails_alone(
    worker: Worker, asking: Asking, films: str
) -> None:
    jobs = [await asking.ask(films, Query(text=words)) for words in ("heat", "unspeakable")]
    await do(worker, asking, 2)
    states = [(await asking.read(job)).state for job in jobs]
    assert states == [State.SUCCEEDED, State.FAILED]


async def test_a_query_of_an_unknown_kind_fails_with_its_reason(
    worker: Worker, asking: Asking, films: str
) -> None:
    # As a kind that a newer recommender admits looks from here.
    job = await asking.ask(films, Query())
    await do(worker, asking, 1)
    read = await asking.read(job)
    assert read.failure is not None
    assert read.failure.reason == reasons.ERROR_REASON_VERSION_UNSUPPORTED


async def test_a_filter_that_cannot_be_read_fails_its_job_alone(
    worker: Worker, asking: Asking, films: str
) -> None:
    jobs = [
        await asking.ask(films, Query(title="alien", filter=text))
        for text in ('title = "Heat"', "no_such_field = 1", "release_year >", "")
    ]
    await do(worker, asking, 4)
    read = [await asking.read(job) for job in jobs]
    assert [job.failure and job.failure.reason for job in read] == [
        None,
        reasons.ERROR_REASON_INVALID_FILTER,
        reasons.ERROR_REASON_INVALID_FILTER,
        None,
    ]


async def test_what_people_did_goes_along_where_it_matters(
    worker: Worker, asking: Asking, films: str, database: Database
) -> None:
    ada = [event("heat", 2), event("ronin", 1)]
    now = dt.datetime.now(dt.UTC)
    async with database.transaction() as session:
        histories = HistoryRepository(session)
        await histories.add(films, [Happened("ada", one, now) for one in ada])
        await histories.add(films, [Happened("bob", event("alien", 3), now)])
    for query, user in (
        (Query(title="alien"), "ada"),
        (Query(title="heat", include_seen=True), "ada"),
        (Query(history=HistorySeed(), include_seen=True), "bob"),
        (Query(title="ronin"), "eve"),
    ):
        await asking.ask(films, query, user=user)
    await do(worker, asking, 4)
    assert {query.seed: query.history for query in worker.ranker.queries} == {
        "alien": tuple(ada),
        "heat": (),
        "": (event("alien", 3),),
        "ronin": (),
    }


async def test_a_history_that_cannot_be_read_fails_the_jobs_of_its_person_alone(
    worker: Worker, asking: Asking, films: str, database: Database
) -> None:
    now = dt.datetime.now(dt.UTC)
    async with database.transaction() as session:
        await HistoryRepository(session).add(films, [Happened("ada", event("heat", 1), now)])
    await asking.sql(
        "UPDATE recommender.user_history SET items = '{}' WHERE catalog = :films", films=films
    )
    jobs = [await asking.ask(films, Query(title="alien"), user=user) for user in ("ada", "bob")]
    await do(worker, asking, 2)
    states = [(await asking.read(job)).state for job in jobs]
    assert states == [State.FAILED, State.SUCCEEDED]


async def test_what_the_chain_has_shown_is_not_answered(
    worker: Worker, asking: Asking, films: str
) -> None:
    shown = ("alien-nation", "heat-wave")
    job = await asking.store(films, Query(title="alien"))
    await asking.send(replace(job, shown=pack(shown)))
    await do(worker, asking, 1)
    answered = results(await asking.read(job))
    assert answered
    assert not {*shown, "alien"} & {*answered}


async def test_interactive_jobs_go_before_the_rest_of_a_bulk_batch(
    worker: Worker, asking: Asking, films: str
) -> None:
    # The first slice of the bulk batch is in hand when somebody asks.
    titles = ["slow", *(f"unknown {n}" for n in range(5 * BULK_SLICE))]
    bulk = [await asking.ask(films, Query(title=title)) for title in titles]
    async with asking.taken(len(bulk)) as deliveries:
        hand = asyncio.create_task(worker.bulk.handle(deliveries))
        await asyncio.to_thread(worker.ranker.begun.wait, 60)
        asked = await asking.ask(films, Query(title="alien"))
        async with asking.taken(1) as urgent:
            answering = asyncio.create_task(worker.jobs.handle(urgent))

            async def in_line() -> bool:
                return worker.read_model._thread._work_queue.qsize() > 0

            await eventually(in_line)
            worker.ranker.gate.set()
            await answering
        assert (await asking.read(asked)).state is State.SUCCEEDED
        await hand
    assert worker.ranker.ranked.index("alien") == BULK_SLICE
    assert all([(await asking.read(job)).state is State.SUCCEEDED for job in bulk])


async def test_a_bulk_batch_whose_words_are_being_encoded_holds_up_no_title(
    worker: Worker, asking: Asking, films: str
) -> None:
    worker.encoder.encode_gate.clear()
    bulk = [await asking.ask(films, Query(text=f"heat {n}")) for n in range(2 * BULK_SLICE)]
    async with asking.taken(len(bulk)) as deliveries:
        hand = asyncio.create_task(worker.bulk.handle(deliveries))

        async def encoding() -> bool:
            return bool(worker.encoder.texts)

        await eventually(encoding)
        asked = await asking.ask(films, Query(title="alien"))
        async with asking.taken(1) as urgent:
            await worker.jobs.handle(urgent)
        assert (await asking.read(asked)).state is State.SUCCEEDED
        # A text is the next thing that is encoded.
        text = await asking.ask(films, Query(text="wave"))
        async with asking.taken(1) as urgent:
            answering = asyncio.create_task(worker.jobs.handle(urgent))

            async def in_line() -> bool:
                return worker.thread._executor._work_queue.qsize() > 0

            await eventually(in_line)
            worker.encoder.encode_gate.set()
            await answering
        await hand
    assert (await asking.read(text)).state is State.SUCCEEDED
    assert worker.encoder.texts.index("wave") == BULK_SLICE
    assert all([(await asking.read(job)).state is State.SUCCEEDED for job in bulk])


async def test_a_message_of_a_newer_version_stays_for_a_newer_worker(
    worker: Worker, asking: Asking, films: str
) -> None:
    newer = await asking.store(films, Query(title="alien"), version=2)
    known = await asking.store(films, Query(title="heat"))
    await asking.send(newer, known)
    async with asking.taken(2) as deliveries:
        await worker.jobs.handle(deliveries)
        # It holds up nobody.
        assert (await asking.read(known)).state is State.SUCCEEDED
    await asking.waits(1)
    assert (await asking.read(newer)).state is State.QUEUED


async def test_a_message_of_a_newer_version_ends_with_its_job_where_no_newer_worker_comes(
    worker: Worker, asking: Asking, films: str
) -> None:
    over = dt.datetime.now(dt.UTC) - CLOCKS_APART - dt.timedelta(seconds=1)
    await asking.ask(films, Query(title="alien"), version=2, deadline=over)
    async with asking.taken(1) as deliveries:
        await worker.jobs.handle(deliveries)
        assert deliveries[0].settled
    await asking.waits(0)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff",
        JobDispatched(version=1, id=b"short").SerializeToString(),
        JobDispatched(
            version=1, id=bytes(16), deadline=Timestamp(seconds=2**60)
        ).SerializeToString(),
    ],
)
async def test_a_message_that_is_none_is_dropped(
    worker: Worker, asking: Asking, films: str, body: bytes
) -> None:
    """taskiq-aio-pika #35: a message that could not be read came back for ever."""
    await asking.send(body)
    job = await asking.ask(films, Query(title="alien"))
    await do(worker, asking, 2)
    assert (await asking.read(job)).state is State.SUCCEEDED
