"""Migrations: alembic without an ini file, and one `env.py` for all services."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from recmesh_kit.database import Database
from recmesh_kit.passing import is_passing

log = structlog.get_logger()

VERSION_TABLE = "alembic_version"
_CONNECT_SECONDS = 10.0
_LOCK_SECONDS = 300.0
_TRY_AGAIN_SECONDS = 0.2
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0)
"""Seconds between attempts, when a lock or the database was not to be had."""
# Whoever waits for a table's lock makes all wait who come after: rather let them by, and try again.
_TABLE_LOCK = "2s"


class StillMigrating(Exception):
    """Another process migrates the same tables, and has for long."""


def upgrade(url: str, package: str, schema: str) -> None:
    """`migrate`, for a process that has no event loop yet."""
    asyncio.run(migrate(url, package, schema))


async def migrate(
    url: str,
    package: str,
    schema: str,
    *,
    pauses: Sequence[float] = PAUSES,
    revision: str = "head",
) -> None:
    """Brings the tables of a schema up to date, while they are in use. Each migration is a transaction; of several
    processes one works and the others wait.

    A lock that is not to be had in two seconds, and a database that is away, are tried again: the migrations that are
    done stay done. Tables that a newer version has migrated are left as they are.

    Args:
        url: `postgresql://…` of the schema's owner.
        package: The package whose `migrations/versions` is used; it lies within the package, or beside it.
        schema: The schema. It is made if it is missing and the role may.
        pauses: Seconds before each further attempt.
        revision: Up to which; the latest unless a test wants an older one.

    Raises:
        StillMigrating: Another process has been migrating for five minutes.
        FileNotFoundError: The package has no migrations.
        DBAPIError: The connection was refused or a migration failed, for another reason or once too often.
        OSError: The database could not be reached, the last time too.
    """
    config = _config(package, schema)
    for pause in pauses:
        try:
            await _migrate(url, schema, config, revision)
        except (exc.DBAPIError, OSError) as error:
            if not (
                isinstance(error, OSError) or error.connection_invalidated or is_passing(error)
            ):
                raise
            log.warning(
                "migration is tried again",
                schema=schema,
                seconds=pause,
                error=str(getattr(error, "orig", error)),
            )
            await asyncio.sleep(pause)
        else:
            return
    await _migrate(url, schema, config, revision)


async def _migrate(url: str, schema: str, config: Config, revision: str) -> None:
    """As `migrate`, once."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            url,
            timeout=_CONNECT_SECONDS,
            server_settings={
                "application_name": f"migrate {schema}",
                "search_path": schema,
                "statement_timeout": "0",
                "lock_timeout": _TABLE_LOCK,
            },
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_prepare, schema)
            deadline = time.monotonic() + _LOCK_SECONDS
            # Tried, not waited for: a waiting statement would hold up CREATE INDEX CONCURRENTLY.
            while not await connection.run_sync(_lock, schema):
                if time.monotonic() > deadline:
                    raise StillMigrating(f"schema {schema} has been migrated elsewhere for minutes")
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            await connection.run_sync(_upgrade, config, revision)
    except exc.PendingRollbackError as error:
        # Of a connection that is lost within an autocommit block; what lost it is the error.
        raise error.__context__ or error from None
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
    head, known = await asyncio.to_thread(lambda: _known(_config(package, schema)))
    table = f"{schema}.{VERSION_TABLE}"
    async with database.transaction() as session:
        if await session.scalar(text("SELECT to_regclass(:table)"), {"table": table}) is None:
            return False
        # The schema's name is the program's own.
        current = await session.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608
    return current is not None and (current == head or current not in known)


def _known(config: Config) -> tuple[str | None, set[str]]:
    """The latest revision that this code knows, and all of them."""
    scripts = ScriptDirectory.from_config(config)
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


def _upgrade(connection: Connection, config: Config, revision: str) -> None:
    if _newer(connection, config):
        log.info("tables are newer than this version", schema=config.attributes["schema"])
        return
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _newer(connection: Connection, config: Config) -> bool:
    """Whether a newer version has migrated: one that was taken back is to start all the same."""
    options = {
        "version_table": config.attributes["version_table"],
        "version_table_schema": config.attributes["schema"],
    }
    current = MigrationContext.configure(connection, opts=options).get_current_revision()
    # Alembic opens the transactions itself.
    connection.commit()
    return current is not None and current not in _known(config)[1]
