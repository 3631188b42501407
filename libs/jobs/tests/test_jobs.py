import asyncio
import datetime as dt
import os
import time
from dataclasses import replace

import pytest
from sqlalchemy import text

from libs.jobs.tests.rows import changed, job, read, run_out, stored
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened, HistoryRepository, events_of
from recmesh_jobs.intake import Stored, Submission, find, request_key, store
from recmesh_jobs.job import Failure, Job
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.shown import pack
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7


async def test_a_stored_job_is_read_as_it_was_stored(database: Database) -> None:
    made = job(session="visit")
    await stored(database, made)
    assert await read(database, made) == made


async def test_what_a_chain_has_shown_is_read_where_it_is_needed_only(database: Database) -> None:
    first = job()
    made = job(continues=first.id, shown=pack(["alien", "ran"]))
    await stored(database, first, made)
    assert await read(database, made) == replace(made, shown=b"")
    async with database.transaction() as session:
        repository = JobRepository(session)
        assert await repository.with_shown(made.id) == made
        assert await repository.with_shown(first.id) == first
        assert await repository.with_shown(uuid7()) is None
        sweep = SweepRepository(session)
        await sweep.hurry([made.id])
        due = {j.id: j for j in await sweep.due([Lane.INTERACTIVE], 10)}
        assert (due[made.id].shown, due[made.id].continues) == (made.shown, first.id)
    async with database.driver() as connection:
        await LeaseRepository(connection, "w").claim([made.id], 0)
    await run_out(database, made)
    async with database.transaction() as session:
        lost = {j.id: j for j in await SweepRepository(session).requeue_lost(5, 10)}
    assert lost[made.id].shown == made.shown


async def test_a_deleted_job_is_gone_with_its_dead_letter(database: Database) -> None:
    made, other = job(), job()
    await stored(database, made, other)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claims = (await leases.claim([made.id, other.id], 30)).claims
        broken = Failure(reasons.ERROR_REASON_INTERNAL, "broken")
        await leases.fail([(claim, broken) for claim in claims.values()])
    async with database.transaction() as session:
        assert await JobRepository(session).delete(made.id)
        assert not await JobRepository(session).delete(made.id)
        letters = await session.execute(
            text("SELECT job_id FROM recommender.dead_letters WHERE job_id = ANY(:ids)"),
            {"ids": [made.id, other.id]},
        )
        assert list(letters.scalars()) == [other.id]
    assert await read(database, made) is None


async def test_a_deleted_job_takes_no_result(database: Database) -> None:
    made = job()
    await stored(database, made)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claim = (await leases.claim([made.id], 30)).claims[made.id]
        async with database.transaction() as session:
            await JobRepository(session).delete(made.id)
        assert not await leases.succeed([(claim, b"late")])
        assert not await leases.fail([(claim, Failure(reasons.ERROR_REASON_INTERNAL, "late"))])
        assert not await leases.release([claim])
    async with database.transaction() as session:
        buried = text("SELECT count(*) FROM recommender.dead_letters WHERE job_id = :id")
        assert await session.scalar(buried, {"id": made.id}) == 0


async def test_a_bulk_job_is_dispatched_again_later_and_on_its_own_lane(database: Database) -> None:
    bulk, prompt = job(lane=Lane.BULK), job()
    await stored(database, bulk, prompt)
    async with database.transaction() as session:
        rows = await session.execute(
            text("SELECT id, dispatch_time FROM recommender.jobs WHERE id = ANY(:ids)"),
            {"ids": [bulk.id, prompt.id]},
        )
        waits = {row.id: row.dispatch_time for row in rows}
        sweep = SweepRepository(session)
        await sweep.hurry([bulk.id, prompt.id])
        due = {j.id for j in await sweep.due([Lane.BULK], 10)}
    assert waits[bulk.id] - bulk.create_time > waits[prompt.id] - prompt.create_time
    assert bulk.id in due
    assert prompt.id not in due


async def test_a_request_id_makes_one_job_also_under_concurrency(database: Database) -> None:
    key = request_key("films", "ada", str(uuid7()))
    first, second = job(), job()

    async def submit(made: Job) -> tuple[bool, object]:
        async with database.driver() as connection:
            (outcome,) = await store(connection, [Submission(made, key, b"same")])
        return outcome.is_new, outcome.job_id

    outcomes = await asyncio.gather(submit(first), submit(second))
    assert sorted(new for new, _ in outcomes) == [False, True]
    assert len({job_id for _, job_id in outcomes}) == 1
    there = [made for made in (first, second) if await read(database, made)]
    assert [made.id for made in there] == [outcomes[0][1]]


async def test_a_request_id_twice_in_one_group_makes_one_job(database: Database) -> None:
    key = request_key("films", "ada", str(uuid7()))
    async with database.driver() as connection:
        outcomes = await store(
            connection, [Submission(job(), key, b"x"), Submission(job(), key, b"x")]
        )
    assert [o.is_new for o in outcomes] == [True, False]
    assert outcomes[0].job_id == outcomes[1].job_id


async def test_what_is_new_is_stored_by_one_statement(database: Database) -> None:
    noon = dt.datetime.combine(dt.datetime.now(dt.UTC), dt.time(12), dt.UTC)
    made = [job(id=uuid7(noon), create_time=noon) for _ in range(3)]
    keys = [request_key("films", "ada", str(one.id)) for one in made[1:]]
    asked = [Submission(one, key, b"") for one, key in zip(made, [None, *keys], strict=True)]
    statements: list[str] = []
    async with database.driver() as connection:
        with connection.query_logger(lambda query: statements.append(query.query)):
            outcomes = await store(connection, asked)
            # The driver tells of statements a moment later.
            await asyncio.sleep(0)
    assert outcomes == [Stored(one.id, is_new=True) for one in made]
    assert len(statements) == 1


async def test_a_repeat_keeps_none_of_its_neighbours_from_being_stored(database: Database) -> None:
    earlier, *made = (job() for _ in range(4))
    keys = [request_key("films", "ada", str(uuid7())) for _ in range(2)]
    async with database.driver() as connection:
        await store(connection, [Submission(earlier, keys[0], b"")])
        outcomes = await store(
            connection,
            [
                Submission(made[0], None, b""),
                Submission(made[1], keys[0], b""),
                Submission(made[2], keys[1], b""),
            ],
        )
    assert [o.job_id for o in outcomes] == [made[0].id, earlier.id, made[2].id]
    assert [o.is_new for o in outcomes] == [True, False, True]
    assert [await read(database, one) for one in made] == [made[0], None, made[2]]


async def test_groups_with_the_same_request_ids_do_not_deadlock(database: Database) -> None:
    keys = [request_key("films", "ada", str(uuid7())) for _ in range(20)]

    async def submit(order: list[bytes]) -> dict[bytes, Stored]:
        async with database.driver() as connection:
            made = await store(connection, [Submission(job(), key, b"") for key in order])
        return dict(zip(order, made, strict=True))

    groups = await asyncio.gather(*(submit(keys[::step]) for step in (1, -1, 1, -1)))
    for key in keys:
        assert len({group[key].job_id for group in groups}) == 1
        assert [group[key].is_new for group in groups].count(True) == 1


async def test_a_request_id_used_for_something_else_is_told(database: Database) -> None:
    key = request_key("films", "ada", str(uuid7()))
    async with database.driver() as connection:
        await store(connection, [Submission(job(), key, b"one")])
        (outcome,) = await store(connection, [Submission(job(), key, b"other")])
    assert not outcome.is_new
    assert not outcome.same_request


async def test_a_repeat_is_found_without_storing_it(database: Database) -> None:
    key = request_key("films", "ada", str(uuid7()))
    first, second = job(), job()
    async with database.driver() as connection:
        assert await find(connection, [Submission(first, key, b"x")]) == [None]
        await store(connection, [Submission(first, key, b"x")])
        repeats = [Submission(second, None, b"x"), Submission(second, key, b"other")]
        none, found = await find(connection, repeats)
    assert none is None
    assert found is not None
    assert (found.job_id, found.is_new, found.same_request) == (first.id, False, False)
    assert await read(database, second) is None


@pytest.mark.parametrize(
    ("first_at", "second_at"), [("23:57:59.9", "23:58:00.1"), ("00:02:00.1", "00:01:59.9")]
)
async def test_a_request_id_makes_one_job_where_the_days_that_it_is_kept_under_differ(
    database: Database, first_at: str, second_at: str
) -> None:
    """The second call has looked before the first one commits, and then finds it under one of its two days."""
    key = request_key("films", "ada", str(uuid7()))
    today = dt.datetime.now(dt.UTC).date()
    first, second = (
        job(id=uuid7(at), create_time=at)
        for at in (
            dt.datetime.combine(today, dt.time.fromisoformat(clock), dt.UTC)
            for clock in (first_at, second_at)
        )
    )
    async with database.driver() as connection, connection.transaction():
        await store(connection, [Submission(first, key, b"")])
        blocked = asyncio.create_task(_submit(database, second, key))
        await _until_somebody_waits(database)
    outcome = await blocked
    assert (outcome.job_id, outcome.is_new) == (first.id, False)
    assert await read(database, second) is None
    again = await _submit(database, job(), key)
    assert again.job_id == first.id


async def _submit(database: Database, made: Job, key: bytes) -> Stored:
    async with database.driver() as connection:
        (outcome,) = await store(connection, [Submission(made, key, b"")])
    return outcome


async def _until_somebody_waits(database: Database) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        # A transaction sees what it saw first.
        async with database.transaction() as session:
            if await session.scalar(waiting):
                return
    pytest.fail("nobody waits")


@pytest.mark.parametrize(("earlier", "later"), [("23:59:59.9", "00:00:00.1"), ("12:00", "11:00")])
async def test_a_request_id_holds_across_midnight(
    database: Database, earlier: str, later: str
) -> None:
    key = request_key("films", "ada", str(uuid7()))
    today = dt.datetime.now(dt.UTC).date()
    outcomes = []
    for day, clock in ((today, earlier), (today + dt.timedelta(days=1), later)):
        at = dt.datetime.combine(day, dt.time.fromisoformat(clock), dt.UTC)
        made = job(id=uuid7(at), create_time=at)
        async with database.driver() as connection:
            outcomes += await store(connection, [Submission(made, key, b"")])
    assert outcomes[0].job_id == outcomes[1].job_id


async def test_only_one_of_two_workers_claims_a_job(database: Database) -> None:
    made = job()
    await stored(database, made)

    async def claim(worker: str) -> bool:
        async with database.driver() as connection:
            claimed = await LeaseRepository(connection, worker).claim([made.id], 30)
        return made.id in claimed.claims

    assert sorted(await asyncio.gather(claim("one"), claim("two"))) == [False, True]
    found = await read(database, made)
    assert found is not None
    assert (found.state, found.attempts) == (State.RUNNING, 1)


async def test_histories_come_with_the_claims_of_each_person_once_where_they_are_asked_for(
    database: Database,
) -> None:
    catalog, other = str(uuid7()), str(uuid7())
    did = [Event(item, 1, None, time) for item, time in (("heat", 2.0), ("ran", 1.0))]
    now = dt.datetime.now(dt.UTC)
    async with database.transaction() as session:
        histories = HistoryRepository(session)
        for known in (catalog, other):
            for person in ("ada", "bob"):
                await histories.add(known, [Happened(person, one, now) for one in did])
    gone, first, second, new = (
        job(catalog=catalog, user=user) for user in ("ada", "ada", "ada", "eve")
    )
    unasked, late = job(catalog=catalog, user="bob"), job(catalog=other, deadline=now)
    ours = [gone, first, second, new, unasked, late]
    await stored(database, *ours)
    asked = {one.id for one in ours if one is not unasked}
    async with database.driver() as connection:
        # Of the jobs of one person it does not matter which is ours.
        await LeaseRepository(connection, "other").claim([gone.id], 30)
        leases = LeaseRepository(connection, "w")
        claimed = await leases.claim([one.id for one in ours], 30, histories=asked)
    assert set(claimed.claims) == {first.id, second.id, new.id, unasked.id}
    assert {who: events_of(columns) for who, columns in claimed.histories.items()} == {
        (catalog, "ada"): tuple(did)
    }


async def test_a_claim_writes_no_index_entries(database: Database) -> None:
    made = job()
    await stored(database, made)
    changed = (
        "SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_xact_user_tables"
        " WHERE relname LIKE 'jobs\\_%'"
    )
    async with database.driver() as connection, connection.transaction():
        before = await connection.fetchrow(changed)
        await LeaseRepository(connection, "w").claim([made.id], 30)
        after = await connection.fetchrow(changed)
    # One row has changed, and only in the table.
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1]


async def test_a_job_past_its_deadline_is_expired_and_not_claimed(database: Database) -> None:
    made = job(deadline=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    await stored(database, made)
    async with database.driver() as connection:
        claimed = await LeaseRepository(connection, "w").claim([made.id], 30)
    assert not claimed.claims
    assert [e.state for e in claimed.expired] == [State.EXPIRED]
    found = await read(database, made)
    assert found is not None
    assert found.failure is not None
    assert found.failure.reason == reasons.ERROR_REASON_JOB_EXPIRED


async def test_a_result_is_stored_once_and_by_the_holder_of_the_lease_only(
    database: Database,
) -> None:
    made = job()
    await stored(database, made)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claim = (await leases.claim([made.id], 30)).claims[made.id]
        assert not await LeaseRepository(connection, "other").succeed([(claim, b"theirs")])
        earlier = claim.start_time - dt.timedelta(microseconds=1)
        assert not await leases.succeed([(replace(claim, start_time=earlier), b"stale")])
        assert await leases.succeed([(claim, b"ours")])
        assert not await leases.succeed([(claim, b"again")])
    found = await read(database, made)
    assert found is not None
    assert (found.state, found.answer) == (State.SUCCEEDED, b"ours")


async def test_a_cancelled_job_takes_no_result(database: Database) -> None:
    made = job()
    await stored(database, made)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claim = (await leases.claim([made.id], 30)).claims[made.id]
        async with database.transaction() as session:
            assert await JobRepository(session).cancel(made.id) is not None
        assert not await leases.succeed([(claim, b"late")])
    async with database.transaction() as session:
        assert await JobRepository(session).cancel(made.id) is None
    found = await read(database, made)
    assert found is not None
    assert (found.state, found.answer) == (State.CANCELLED, None)


async def test_a_failed_job_stands_in_the_dead_letters(database: Database) -> None:
    made = job()
    await stored(database, made)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claim = (await leases.claim([made.id], 30)).claims[made.id]
        ended = await leases.fail([(claim, Failure(reasons.ERROR_REASON_INTERNAL, "broken"))])
    async with database.transaction() as session:
        letters = await session.execute(
            text("SELECT reason, attempts FROM recommender.dead_letters WHERE job_id = :id"),
            {"id": made.id},
        )
        assert [tuple(row) for row in letters] == [(reasons.ERROR_REASON_INTERNAL, 1)]
    assert [e.state for e in ended] == [State.FAILED]


async def test_giving_back_is_no_attempt(database: Database) -> None:
    made = job()
    await stored(database, made)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claim = (await leases.claim([made.id], 30)).claims[made.id]
        assert await leases.release([claim]) == 1
    found = await read(database, made)
    assert found is not None
    assert (found.state, found.attempts) == (State.QUEUED, 0)


async def test_a_job_whose_lease_ran_out_goes_to_the_suspect_lane(database: Database) -> None:
    made = job()
    await stored(database, made)
    async with database.driver() as connection:
        await LeaseRepository(connection, "w").claim([made.id], 30)
    async with database.transaction() as session:
        assert made.id not in {j.id for j in await SweepRepository(session).requeue_lost(5, 10)}
    await run_out(database, made)
    async with database.transaction() as session:
        requeued = {j.id: j for j in await SweepRepository(session).requeue_lost(5, 10)}
    assert requeued[made.id].lane is Lane.SUSPECT
    assert requeued[made.id].state is State.QUEUED


async def test_a_job_whose_attempts_are_used_up_is_given_up(database: Database) -> None:
    made = job()
    await stored(database, made)
    async with database.driver() as connection:
        await LeaseRepository(connection, "w").claim([made.id], 30)
    await run_out(database, made)
    async with database.transaction() as session:
        given_up = await SweepRepository(session).give_up_lost(1)
    assert (made.id, State.FAILED) in [(j.id, j.state) for j in given_up]
    found = await read(database, made)
    assert found is not None
    assert found.state is State.FAILED
    assert found.failure is not None
    assert found.failure.reason == reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED


async def test_a_job_that_nobody_took_is_due_again_later_and_later(database: Database) -> None:
    made = job()
    await stored(database, made)
    await changed(database, made, "dispatch_time = now()")
    async with database.transaction() as session:
        assert made.id in {j.id for j in await SweepRepository(session).due(list(Lane), 10)}
        assert made.id not in {j.id for j in await SweepRepository(session).due(list(Lane), 10)}


@pytest.mark.usefixtures("patience")
async def test_a_job_that_is_known_to_be_unsent_is_due_now(database: Database) -> None:
    made, ended = job(), job()
    await stored(database, made, ended)
    async with database.transaction() as session:
        await JobRepository(session).cancel(ended.id)
        sweep = SweepRepository(session)
        assert made.id not in {j.id for j in await sweep.due(list(Lane), 10)}
        await sweep.hurry([made.id, ended.id])
        due = {j.id for j in await sweep.due(list(Lane), 10)}
    assert made.id in due
    assert ended.id not in due


async def test_a_queued_job_past_its_deadline_is_ended_by_the_sweep(database: Database) -> None:
    made = job(deadline=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    await stored(database, made)
    async with database.transaction() as session:
        expired = await SweepRepository(session).expire()
    assert (made.id, State.EXPIRED) in [(j.id, j.state) for j in expired]
    found = await read(database, made)
    assert found is not None
    assert found.state is State.EXPIRED


async def test_a_job_past_its_ttl_is_not_there(database: Database) -> None:
    made = job(expire_time=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    await stored(database, made)
    assert await read(database, made) is None


async def page(
    database: Database,
    *,
    session: str | None = None,
    before: Job | None = None,
    limit: int = 9,
    most_bytes: int = 1_000,
) -> list[Job]:
    async with database.transaction() as transaction:
        return await JobRepository(transaction).page(
            f"c{os.getpid()}",
            user="pages",
            session=session,
            before=None if before is None else before.id,
            limit=limit,
            most_bytes=most_bytes,
        )


async def test_pages_go_from_the_newest_on(database: Database) -> None:
    made = [job(user="pages", session="a" if n % 2 else "b") for n in range(5)]
    await stored(database, *made)
    first = await page(database, limit=3)
    rest = await page(database, before=first[-1], limit=3)
    assert [j.id for j in (*first, *rest)] == [j.id for j in reversed(made)]
    assert [j.id for j in await page(database, session="a")] == [made[3].id, made[1].id]
    for one in made:
        await delete(database, one)


async def test_long_answers_are_not_read_beyond_a_page(database: Database) -> None:
    made = [job(user="pages") for _ in range(5)]
    await stored(database, *made)
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE recommender.jobs SET state = 3, answer = :answer WHERE user_id = 'pages'"),
            {"answer": b"x" * 100},
        )
    newest_first = [replace(j, state=State.SUCCEEDED, answer=b"x" * 100) for j in reversed(made)]
    # As many as fit, the next one, and so always two.
    for most_bytes, read_ in ((1, 2), (99, 2), (250, 3), (1_000, 5)):
        assert await page(database, most_bytes=most_bytes) == newest_first[:read_]
    for one in made:
        await delete(database, one)


async def test_long_queries_are_not_read_beyond_a_page(database: Database) -> None:
    made = [job(user="pages", query=b"x" * 100) for _ in range(5)]
    await stored(database, *made)
    assert await page(database, most_bytes=250) == made[:1:-1]
    for one in made:
        await delete(database, one)


async def delete(database: Database, job: Job) -> None:
    async with database.transaction() as session:
        assert await JobRepository(session).delete(job.id)
