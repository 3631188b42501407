"""Partitions by day: made ahead, dropped as a whole. The dead letters of their jobs go with them.

A job that was put back long after its creation is kept longer than its day, and so is its day.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_jobs.models import SCHEMA
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7_floor

TABLES = ("jobs", "requests")
REQUEST_DAYS = 2
"""How many whole days request ids are kept before today: a minute after midnight the day before yesterday may count."""
_KEY = {"jobs": "id", "requests": "day"}
_DAY = {"jobs": "CAST(create_time AT TIME ZONE 'UTC' AS date)", "requests": "day"}
STORAGE = {"jobs": "fillfactor = 80", "requests": "fillfactor = 100"}
"""How partitions are stored. A job that is claimed finds room beside itself, and so needs no new index entries."""
LOCK_SECONDS = 1
"""How long the lock of a table is waited for: whoever waits for one makes all wait who come after."""
_LETTERS_AT_ONCE = 5_000
_FORGET = text(
    f"DELETE FROM {SCHEMA}.dead_letters WHERE job_id IN (SELECT d.job_id FROM {SCHEMA}.dead_letters d"
    " WHERE d.job_id < CAST(CAST(:low AS text) AS uuid) AND NOT EXISTS ("
    f"SELECT 1 FROM {SCHEMA}.jobs j WHERE j.id = d.job_id AND j.expire_time > CAST(:today AS timestamptz))"
    " LIMIT :limit) RETURNING job_id"
)
_PUT_BACK = text(
    f"SELECT EXISTS (SELECT 1 FROM {SCHEMA}.dead_letters d JOIN {SCHEMA}.jobs j ON j.id = d.job_id"
    " WHERE d.job_id >= CAST(CAST(:low AS text) AS uuid) AND d.job_id < CAST(CAST(:high AS text) AS uuid)"
    " AND j.id >= CAST(CAST(:low AS text) AS uuid) AND j.id < CAST(CAST(:high AS text) AS uuid)"
    " AND j.expire_time > CAST(:today AS timestamptz)"
    # A letter that says nothing of it any more, as its job was given up again, is later than a first one can be.
    " AND (d.redrive_time IS NOT NULL OR d.create_time >= CAST(:late AS timestamptz)))"
)


def create_statement(table: str, day: dt.date) -> str:
    """The DDL of one day's partition. `jobs` is bounded by the ids of that day, `requests` by the day itself."""
    return (
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{_name(table, day)} "
        f"PARTITION OF {SCHEMA}.{table} FOR VALUES FROM ('{_low(table, day)}') TO ('{_high(table, day)}') "
        f"WITH ({STORAGE[table]})"
    )


async def maintain(
    database: Database, today: dt.date, *, ahead_days: int, keep_days: int
) -> list[str]:
    """Makes the partitions of today and the next days, and drops those whose last day is long over. What was stored
    in the default partition, because a day had none, moves to the partition of its day.

    Each table has a transaction of its own: whoever stores jobs locks the two in the other order.

    Args:
        database: As the role that owns the tables.
        today: The day in UTC.
        ahead_days: How many days ahead partitions are made.
        keep_days: How many whole days of jobs are kept before today, unless some of one are kept for longer.

    Returns:
        The names of the partitions that were dropped.
    """
    dropped = []
    kept = {"jobs": keep_days, "requests": min(keep_days, REQUEST_DAYS)}
    for table in TABLES:
        async with database.transaction() as session:
            await _begin(session)
            wanted = {today + dt.timedelta(days=offset) for offset in range(ahead_days + 1)}
            await _make(session, table, wanted)
        async with database.transaction() as session:
            await _begin(session)
            for day in await _days(session, table):
                over = day < today - dt.timedelta(days=kept[table])
                if over and not await _is_needed(session, table, day, today):
                    await session.execute(text(f"DROP TABLE {SCHEMA}.{_name(table, day)}"))
                    dropped.append(_name(table, day))
    await _forget_letters(database, today - dt.timedelta(days=keep_days), today)
    return dropped


async def _forget_letters(database: Database, first: dt.date, today: dt.date) -> None:
    """Deletes the dead letters of jobs from before a day that are not kept for longer, some at a time."""
    values = {
        "low": _low("jobs", first),
        "today": _begin_of(today),
        "limit": _LETTERS_AT_ONCE,
    }
    while True:
        async with database.transaction() as session:
            forgotten = await session.execute(_FORGET, values)
        if len(forgotten.all()) < _LETTERS_AT_ONCE:
            return


async def _is_needed(session: AsyncSession, table: str, day: dt.date, today: dt.date) -> bool:
    """Whether a day that is over has a job that is kept for longer, as it was put back: its dead letter tells."""
    if table != "jobs":
        return False
    times = {"late": _begin_of(day + 2 * dt.timedelta(days=1)), "today": _begin_of(today)}
    bounds = {"low": _low(table, day), "high": _high(table, day)}
    return bool(await session.scalar(_PUT_BACK, bounds | times))


async def _begin(session: AsyncSession) -> None:
    # Several replicas may come at once; the lock is gone with the transaction.
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('recommender.partitions'))"))
    # Rather than wait for a table for long, fail, and try again.
    await session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))


async def _make(session: AsyncSession, table: str, wanted: set[dt.date]) -> None:
    default = f"{SCHEMA}.{table}_default"
    strays = await session.execute(text(f"SELECT DISTINCT {_DAY[table]} FROM {default}"))
    missing = (wanted | set(strays.scalars())) - await _days(session, table)
    if not missing:
        return
    # The table first, as everybody does. From here on nothing comes into the default partition.
    await session.execute(text(f"LOCK TABLE ONLY {SCHEMA}.{table} IN ACCESS EXCLUSIVE MODE"))
    await session.execute(text(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE"))
    for day in sorted(missing):
        name, key = f"{SCHEMA}.{_name(table, day)}", _KEY[table]
        low, high = _low(table, day), _high(table, day)
        await session.execute(
            text(
                f"CREATE TABLE {name}"
                f" (LIKE {SCHEMA}.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH ({STORAGE[table]})"
            )
        )
        await session.execute(
            text(
                f"WITH moved AS (DELETE FROM {default} WHERE {key} >= '{low}' AND {key} < '{high}' RETURNING *)"
                f" INSERT INTO {name} SELECT * FROM moved"
            )
        )
        await session.execute(
            text(
                f"ALTER TABLE {SCHEMA}.{table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')"
            )
        )


async def _days(session: AsyncSession, table: str) -> set[dt.date]:
    """The days that have a partition."""
    found = await session.execute(
        text(
            "SELECT substring(c.relname FROM '_(\\d{8})$') FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = to_regclass(:table) AND c.relname ~ '_\\d{8}$'"
        ),
        {"table": f"{SCHEMA}.{table}"},
    )
    return {dt.date.fromisoformat(day) for day in found.scalars()}


def _name(table: str, day: dt.date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _low(table: str, day: dt.date) -> str:
    if table == "requests":
        return day.isoformat()
    return str(uuid7_floor(_begin_of(day)))


def _high(table: str, day: dt.date) -> str:
    return _low(table, day + dt.timedelta(days=1))


def _begin_of(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
