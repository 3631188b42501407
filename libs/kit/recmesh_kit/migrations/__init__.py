"""Migrations: alembic without an ini file, and one `env.py` for all services."""

from __future__ import annotations

import asyncio
import hashlib
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from recmesh_kit.database import Database

log = structlog.get_logger()

VERSION_TABLE = "alembic_version"
_CONNECT_SECONDS = 10.0
_LOCK_SECONDS = 300.0
_TRY_AGAIN_SECONDS = 0.2


def upgrade(url: str, package: str, schema: str) -> None:
    """`migrate`, for a process that has no event loop yet."""
    asyncio.run(migrate(url, package, schema))


async def migrate(url: str, package: str, schema: str) -> None:
    """Brings the tables of a schema up to date. Each migration is a transaction; of several processes one works and
    the others wait.

    Args:
        url: `postgresql://…` of the schema's owner.
        package: The package whose `migrations/versions` is used; it lies within the package, or beside it.
        schema: The schema. It is made if it is missing and the role may.

    Raises:
        TimeoutError: Another process has been migrating for five minutes.
        FileNotFoundError: The package has no migrations.
    """

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            url,
            timeout=_CONNECT_SECONDS,
            server_settings={
                "application_name": f"migrate {schema}",
                "search_path": schema,
                "statement_timeout": "0",
                # Whoever waits for a table's lock makes all wait who come after: rather fail, and try again.
                "lock_timeout": "10s",
            },
        )

    config = _config(package, schema)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            async with asyncio.timeout(_LOCK_SECONDS):
                await connection.run_sync(_prepare, schema)
                # Tried, not waited for: a waiting statement would hold up CREATE INDEX CONCURRENTLY.
                while not await connection.run_sync(_lock, schema):  # noqa: ASYNC110 - held elsewhere
                    await asyncio.sleep(_TRY_AGAIN_SECONDS)
            await connection.run_sync(_upgrade, config)
    finally:
        await engine.dispose()
    log.info("tables are up to date", schema=schema)


async def is_current(database: Database, package: str, schema: str) -> bool:
    """Whether the tables are as new as this code needs them.

    A revision that this code does not know counts as newer: while a new version rolls out, the old one goes on.

    Raises:
        Unavailable: The database cannot be reached.
        FileNotFoundError: The package has no migrations.
    """
    head, known = await asyncio.to_thread(_revisions, package, schema)
    table = f"{schema}.{VERSION_TABLE}"
    async with database.transaction() as session:
        if await session.scalar(text("SELECT to_regclass(:table)"), {"table": table}) is None:
            return False
        # The schema's name is the program's own.
        current = await session.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608
    return current is not None and (current == head or current not in known)


def _revisions(package: str, schema: str) -> tuple[str | None, set[str]]:
    scripts = ScriptDirectory.from_config(_config(package, schema))
    return scripts.get_current_head(), {script.revision for script in scripts.walk_revisions()}


def _config(package: str, schema: str) -> Config:
    config = Config(attributes={"schema": schema, "version_table": VERSION_TABLE})
    for option, path in (
        ("script_location", Path(__file__).parent),
        ("version_locations", _versions(package)),
    ):
        config.set_main_option(option, str(path).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def _versions(package: str) -> Path:
    """In a wheel the folder lies within the package, in a checkout beside it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"there is no package {package}")
    inside = Path(spec.origin).parent
    for folder in (inside, inside.parent):
        versions = folder / "migrations" / "versions"
        if versions.is_dir():
            return versions
    raise FileNotFoundError(f"package {package} has no migrations/versions")


def _prepare(connection: Connection, schema: str) -> None:
    known = connection.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": schema})
    if known is None:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    connection.commit()


def _lock(connection: Connection, schema: str) -> bool:
    digest = hashlib.sha256(f"recmesh migrations of {schema}".encode()).digest()
    key = int.from_bytes(digest[:8], "big", signed=True)
    taken = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
    # Alembic opens the transactions itself. The lock belongs to the session and outlives them.
    connection.commit()
    return bool(taken)


def _upgrade(connection: Connection, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
