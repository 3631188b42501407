"""Partitions by day: made ahead, dropped as a whole. The dead letters of their jobs go with them."""

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
_LETTERS_AT_ONCE = 5_000
_FORGET = text(
    f"DELETE FROM {SCHEMA}.dead_letters WHERE job_id IN (SELECT job_id FROM {SCHEMA}.dead_letters"
    " WHERE job_id < CAST(CAST(:low AS text) AS uuid) LIMIT :limit) RETURNING job_id"
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
        keep_days: How many whole days of jobs are kept before today.

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
                if day < today - dt.timedelta(days=kept[table]):
                    await session.execute(text(f"DROP TABLE {SCHEMA}.{_name(table, day)}"))
                    dropped.append(_name(table, day))
    await _forget_letters(database, today - dt.timedelta(days=keep_days))
    return dropped


async def _forget_letters(database: Database, first: dt.date) -> None:
    """Deletes the dead letters of jobs from before a day, some at a time."""
    while True:
        async with database.transaction() as session:
            forgotten = await session.execute(
                _FORGET, {"low": _low("jobs", first), "limit": _LETTERS_AT_ONCE}
            )
        if len(forgotten.all()) < _LETTERS_AT_ONCE:
            return


async def _begin(session: AsyncSession) -> None:
    # Several replicas may come at once; the lock is gone with the transaction.
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('recommender.partitions'))"))
    # Whoever waits for a table's lock makes all wait who come after: rather fail, and try again.
    await session.execute(text("SET LOCAL lock_timeout = '1s'"))


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
    return str(uuid7_floor(dt.datetime.combine(day, dt.time(), dt.UTC)))


def _high(table: str, day: dt.date) -> str:
    return _low(table, day + dt.timedelta(days=1))
