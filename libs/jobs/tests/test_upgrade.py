"""Rows as revision 0002 left them, worked on by the code of today: once the tables were migrated with them in, and
while the version that writes them goes on running beside this one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import asyncpg
import numpy as np
import pytest

from localmesh.databases import PostgresServer
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.events.v1.job_events_pb2 import Answer
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs import index_repository, reading
from recmesh_jobs.dead_letters import DeadLetterRepository
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened, HistoryRepository, events_of
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.intake import Stored, Submission, find, store
from recmesh_jobs.items import IndexedItem
from recmesh_jobs.job import Claim, Failure, Job
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.messages import decode_job, encode_job
from recmesh_jobs.models import SCHEMA
from recmesh_jobs.partitions import maintain
from recmesh_jobs.popularity_repository import PopularityRepository
from recmesh_jobs.repository import JobRepository, count_unfinished
from recmesh_jobs.shown import unpack
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_kit.migrations import migrate
from tests.recorded import VERSION_1, recorded

OLD = recorded(VERSION_1)
QUERY, ANSWER, SHOWN = OLD["row query text"], OLD["row answer"], OLD["row shown"]
CATALOG, USER, ENCODER, WORKER = "films", "ada", "mini-lm-7", "worker-of-before"
KEY, FINGERPRINT = b"k" * 32, b"f" * 32
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
LIKED = 3
JOBS = """
    INSERT INTO recommender.jobs (id, catalog, user_id, session, lane, state, version, query, deadline, create_time,
        expire_time, dispatch_time, dispatches, attempts, worker, lease_until, start_time, end_time, answer,
        error_reason, error_message, continues, shown)
    VALUES ($1, 'films', 'ada', 'visit', 1, $2, 1, $3, $4, $5, $6, $7, 1, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17)
"""
REQUEST = "INSERT INTO recommender.requests (day, key, fingerprint, job_id) VALUES ($1, $2, $3, $4)"
LETTER = """
    INSERT INTO recommender.dead_letters (job_id, catalog, user_id, version, query, attempts, reason, message,
        create_time, redrive_time)
    VALUES ($1, 'films', 'ada', 1, $2, 5, $3, 'Broken.', $4, NULL)
"""
READ_MODEL = """
    INSERT INTO recommender.index_states (catalog, encoder, last_seq) VALUES ('films', 'mini-lm-7', 12);
    INSERT INTO recommender.item_index (catalog, encoder, item, revision, seq, deleted, title, original_title,
        alternate_titles, genres, tags, directors, cast_names, release_year, language, labels, hidden,
        average_rating, popularity, vector)
    VALUES ('films', 'mini-lm-7', 'ran', 7, 12, false, 'Ran', '乱', '{Chaos}', '{Drama,War}', '{}',
        '{"Akira Kurosawa"}', '{}', 1985, 'ja', '{"shelf": "b"}', false, 8.2, 1, '\\x0000003f000000bf0000003f000000bf'),
        ('films', 'mini-lm-7', 'gone', 3, 11, true, '', '', '{}', '{}', '{}', '{}', '{}', NULL, '', '{}', false, NULL,
        0, NULL);
    INSERT INTO recommender.item_likes (catalog, item, user_id, write_time)
    VALUES ('films', 'ran', 'bob', '2026-01-02 03:04:05Z');
    INSERT INTO recommender.user_history (catalog, user_id, items, types, event_values, event_times, write_times)
    VALUES ('films', 'ada', '{ran,alien}', '{5,1}', '{4.5,NULL}', '{1767323045.5,1767323040}',
        '{2026-01-02 03:04:06Z,2026-01-02 03:04:05Z}');
"""
RAN = IndexedItem(
    catalog=CATALOG,
    item="ran",
    revision=7,
    seq=12,
    title="Ran",
    original_title="乱",
    alternate_titles=("Chaos",),
    genres=("Drama", "War"),
    directors=("Akira Kurosawa",),
    release_year=1985,
    language="ja",
    labels={"shelf": "b"},
    average_rating=8.2,
    popularity=1,
)
HISTORY = (Event("ran", 5, 4.5, 1767323045.5), Event("alien", 1, None, 1767323040.0))


@dataclass
class Rows:
    """A database of today with rows of before, and which job is which."""

    database: Database
    jobs: dict[str, UUID]
    start: dt.datetime

    async def read(self, name: str) -> Job:
        async with self.database.driver() as connection:
            return (await reading.read(connection, [self.jobs[name]]))[self.jobs[name]]

    async def states(self) -> dict[str, State]:
        async with self.database.driver() as connection:
            found = await reading.read(connection, self.jobs.values())
        return {name: found[id_].state for name, id_ in self.jobs.items() if id_ in found}


@dataclass
class Template:
    """A database to copy, and what is in it."""

    name: str
    jobs: dict[str, UUID]
    start: dt.datetime


@pytest.fixture(scope="session")
def templates() -> dict[str, Template]:
    """Those that are made already, in whatever order they are asked for."""
    return {}


@pytest.fixture(params=["migrated", "beside"])
async def template(
    request: pytest.FixtureRequest,
    templates: dict[str, Template],
    postgres: PostgresServer,
    database_name: str,
) -> Template:
    """The rows: there before the tables were migrated, or written after it by the version of before."""
    if made := templates.get(request.param):
        return made
    start = dt.datetime.now(dt.UTC)
    jobs: dict[str, UUID] = {}

    async def build(urls: dict[str, str]) -> None:
        url = urls["recmesh_recommender"]
        before = "0002" if request.param == "migrated" else "head"
        await migrate(url, "recmesh_jobs", SCHEMA, revision=before)
        jobs.update(await fill(url, start))
        await migrate(url, "recmesh_jobs", SCHEMA)

    name = await postgres.template(f"{database_name}_upgrade_{request.param}", build)
    templates[request.param] = Template(name, jobs, start)
    return templates[request.param]


@pytest.fixture
async def rows(
    template: Template, postgres: PostgresServer, database_name: str
) -> AsyncIterator[Rows]:
    name = f"{database_name}_upgrade"
    url = (await postgres.create_database(name, template.name))["recmesh_recommender"]
    async with Database(url, pool_size=3, timeout_seconds=60, application_name="test") as database:
        yield Rows(database, template.jobs, template.start)
    await postgres.drop_database(name)


async def fill(url: str, now: dt.datetime) -> dict[str, UUID]:
    """Writes rows as the code of revision 0002 did: a job in each state, and all that belongs to them."""
    ids = {name: uuid7(now) for name in NAMES}
    unfinished = (None, None, None, None, None)
    failed = (None, reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED, "Broken.")
    late = (None, reasons.ERROR_REASON_JOB_EXPIRED, "Late.")
    jobs: dict[str, tuple[object, ...]] = {
        # state, deadline, dispatch_time, attempts, worker, lease_until, start_time, end_time, answer and error
        "queued": (1, now + HOUR, now - HOUR, 0, *unfinished, None, None),
        "waiting": (1, now + HOUR, now + HOUR, 0, *unfinished, None, None),
        "late": (1, now - HOUR, now - HOUR, 0, *unfinished, None, None),
        "running": (2, now + HOUR, now, 1, WORKER, now + HOUR, now, None, *[None] * 3),
        "lost": (2, now + HOUR, now, 1, WORKER, now - HOUR, now, None, *[None] * 3),
        "spent": (2, now + HOUR, now, 5, WORKER, now - HOUR, now, None, *[None] * 3),
        "succeeded": (3, now, now, 1, None, None, now, now, ANSWER, None, None),
        "failed": (4, now, now, 5, None, None, now, now, *failed),
        "cancelled": (5, now, now, 0, None, None, None, now, None, None, None),
        "expired": (6, now, now, 0, None, None, None, now, *late),
    }
    connection = await asyncpg.connect(url)
    try:
        for name, (state, deadline, dispatch, *rest) in jobs.items():
            continues = (ids["succeeded"], SHOWN) if name == "queued" else (None, None)
            times = (deadline, now, now + 7 * DAY, dispatch)
            await connection.execute(JOBS, ids[name], state, QUERY, *times, *rest, *continues)
        await connection.execute(REQUEST, now.date(), KEY, FINGERPRINT, ids["succeeded"])
        await connection.execute(LETTER, ids["failed"], QUERY, failed[1], now)
        await connection.execute(READ_MODEL)
    finally:
        await connection.close()
    return ids


NAMES = (
    *("queued", "waiting", "late", "running", "lost", "spent"),
    *("succeeded", "failed", "cancelled", "expired"),
)


async def test_jobs_are_listed_counted_and_read(rows: Rows) -> None:
    async with rows.database.transaction() as session:
        page = await JobRepository(session).page(
            CATALOG, user=USER, session="visit", before=None, limit=99, most_bytes=1_000_000
        )
    assert {job.id for job in page} == set(rows.jobs.values())
    states = await rows.states()
    assert [state.name.lower() for state in states.values()] == [
        *(["queued"] * 3 + ["running"] * 3),
        *NAMES[6:],
    ]
    async with rows.database.driver() as connection:
        assert (await count_unfinished(connection, 99)).jobs == LIKED * 2
    answered, failed = await rows.read("succeeded"), await rows.read("failed")
    assert answered.answer is not None
    assert Answer.FromString(answered.answer).results[1].title == "乱"
    assert Query.FromString(answered.query).text == "a heist inside a dream"
    assert failed.failure == Failure(reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED, "Broken.")


async def test_a_repeated_request_finds_the_job_of_before(rows: Rows) -> None:
    asked = await rows.read("queued")
    new = replace(asked, id=uuid7(rows.start), create_time=rows.start)
    again = Submission(new, KEY, FINGERPRINT)
    async with rows.database.driver() as connection:
        known = [Stored(rows.jobs["succeeded"], is_new=False)]
        assert await find(connection, [again]) == known
        assert await store(connection, [again]) == known


async def test_a_queued_job_is_sent_claimed_and_answered(rows: Rows) -> None:
    async with rows.database.transaction() as session:
        (due,) = await SweepRepository(session).due([Lane.INTERACTIVE], 10)
    message = decode_job(encode_job(due))
    assert (message.id, list(message.shown)) == (rows.jobs["queued"], unpack(SHOWN))
    async with rows.database.driver() as connection:
        leases = LeaseRepository(connection, "worker-of-today")
        ids = [rows.jobs[name] for name in ("queued", "succeeded", "running")]
        claimed = await leases.claim(ids, 60, histories=[rows.jobs["queued"]])
        (claim,) = claimed.claims.values()
        assert (claim.id, claim.attempt) == (rows.jobs["queued"], 1)
        assert events_of(claimed.histories[CATALOG, USER]) == HISTORY
        assert [ended.state for ended in await leases.succeed([(claim, ANSWER)])] == [
            State.SUCCEEDED
        ]
    assert (await rows.read("queued")).answer == ANSWER


@pytest.mark.parametrize("ends", ["well", "badly", "given back"])
async def test_a_worker_of_before_ends_what_it_holds(rows: Rows, ends: str) -> None:
    """It claimed before the migration, and holds its lease still."""
    claim = Claim(rows.jobs["running"], 1, rows.start)
    broken = Failure(reasons.ERROR_REASON_INTERNAL, "Broken.")
    async with rows.database.driver() as connection:
        leases = LeaseRepository(connection, WORKER)
        if ends == "well":
            assert await leases.succeed([(claim, ANSWER)])
        elif ends == "badly":
            assert await leases.fail([(claim, broken)])
        else:
            assert await leases.release([claim]) == 1
    wanted = {"well": State.SUCCEEDED, "badly": State.FAILED, "given back": State.QUEUED}
    assert (await rows.read("running")).state == wanted[ends]


async def test_jobs_that_nobody_looks_after_are_found(rows: Rows) -> None:
    async with rows.database.transaction() as session:
        sweep = SweepRepository(session)
        assert [job.id for job in await sweep.expire()] == [rows.jobs["late"]]
        (lost,) = await sweep.requeue_lost(5, 10)
        assert (lost.id, lost.lane) == (rows.jobs["lost"], Lane.SUSPECT)
        (spent,) = await sweep.give_up_lost(5)
        assert spent.id == rows.jobs["spent"]


async def test_a_dead_letter_is_put_back(rows: Rows) -> None:
    async with rows.database.transaction() as session:
        letters = DeadLetterRepository(session)
        (letter,) = await letters.page(CATALOG, None, 9, 1_000)
        assert (letter.job.id, letter.job.attempts) == (rows.jobs["failed"], 5)
        assert letter.job.failure == Failure(reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED, "Broken.")
        assert letter.redrive_time is None
        (again,) = await letters.put_back([letter.job.id], {Lane.INTERACTIVE: HOUR}, 7 * DAY)
    assert decode_job(encode_job(again)).query.text == "a heist inside a dream"
    assert (again.state, again.attempts, again.failure) == (State.QUEUED, 0, None)


async def test_jobs_are_continued_cancelled_and_deleted(rows: Rows) -> None:
    async with rows.database.transaction() as session:
        repository = JobRepository(session)
        done = await repository.with_shown(rows.jobs["succeeded"])
        assert done is not None
        assert (done.answer, done.shown) == (ANSWER, b"")
        next_ = await repository.with_shown(rows.jobs["queued"])
        assert next_ is not None
        assert (next_.continues, next_.shown) == (done.id, SHOWN)
        for name in ("waiting", "running"):
            assert await repository.cancel(rows.jobs[name])
        assert await repository.delete(rows.jobs["failed"])
    states = await rows.states()
    assert (states["waiting"], states["running"]) == (State.CANCELLED, State.CANCELLED)
    assert "failed" not in states


async def test_the_read_model_is_followed_and_written(rows: Rows) -> None:
    async with rows.database.driver() as connection:
        gone, ran = await index_repository.since(connection, ENCODER, CATALOG, 0, 99)
    assert (gone.item, gone.deleted, gone.seq) == ("gone", True, 11)
    assert ran.vector is not None
    np.testing.assert_array_equal(ran.vector, np.array([0.5, -0.5, 0.5, -0.5], np.float32))
    assert {n: getattr(ran, n) for n in FIELDS} == {n: getattr(RAN, n) for n in FIELDS}
    async with rows.database.transaction() as session:
        index = IndexRepository(session, ENCODER)
        assert await index.searchable(CATALOG) == (12, 1)
        assert await index.revisions(CATALOG, ["ran"]) == {"ran": 7}
        popularity = PopularityRepository(session, ENCODER)
        await popularity.add(CATALOG, {("ran", who): rows.start for who in ("ann", "bob", "cy")})
        event = Event("alien", 3, None, 1767323050.0)
        await HistoryRepository(session).add(CATALOG, [Happened(USER, event, rows.start)])
    async with rows.database.driver() as connection:
        (ran,) = await index_repository.since(connection, ENCODER, CATALOG, 12, 99)
        row = await connection.fetchrow(
            "SELECT items, types, event_values, event_times FROM recommender.user_history"
        )
    assert ran.popularity == LIKED
    assert events_of(row) == (event, *HISTORY)


async def test_partitions_are_kept_up(rows: Rows) -> None:
    today = rows.start.date() + 9 * DAY
    dropped = await maintain(rows.database, today, ahead_days=7, keep_days=7)
    assert f"jobs_{rows.start:%Y%m%d}" in dropped
    assert await rows.states() == {}


FIELDS = [name for name in IndexedItem.__dataclass_fields__ if name != "vector"]
