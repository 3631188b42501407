"""`backup` and `restore`: all that the services keep in PostgreSQL, in one snapshot, with the keys that go with it.

RabbitMQ is not in it: its messages only call. Jobs that had none left are dispatched again from their rows, and what
the read model missed is found by `recmesh admin verify`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from localmesh import archive as archives
from localmesh import dump as tools
from localmesh.archive import Manifest
from localmesh.errors import MeshError
from localmesh.paths import Paths
from localmesh.plan import Plan
from localmesh.ports import Ports, require_free
from localmesh.servers import Database
from localmesh.session import say
from localmesh.state import running_state, take_lock
from localmesh.supervisor import Supervisor
from recmesh_kit.provision import ROLES, SCHEMAS, connect

_SCHEMAS = tuple(SCHEMAS.values())
_COUNT_SECONDS = 3600.0
"""How long the rows of one table may take to count."""
_TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1::text[]) AND c.relkind = 'r' ORDER BY 1
"""
_GUESTS = """
    SELECT DISTINCT usename::text FROM pg_stat_activity
    WHERE datname = current_database() AND usename = ANY($1::text[]) ORDER BY 1
"""
_AFTERWARDS = """\
Next: start the services (`python -m localmesh up`), which brings the tables up to date; then `recmesh admin verify`
compares what queries are answered from with the catalog."""
_GIVEN_BROKER = """
AMQP_URL names a broker that is not the mesh's own: empty its queues before the services start (delete its vhost, and
make it again). Messages that are newer than the backup would be taken for changes of now."""


def backup(plan: Plan, file: Path) -> int:
    """Write all that there is to `file`, whether or not the mesh runs. Returns 0.

    It may be restored by its reader's hands alone: the file's mode is 0600, for passwords and keys are in it.

    Raises:
        MeshError: It did not go well; there is no file then, or the one of before.
    """
    lock, plan = _hold(plan)
    try:
        plan.paths.refuse_half_restored()
        manifest = asyncio.run(_backup(plan, file, running=lock is None))
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror or error}"
        raise MeshError(msg) from error
    finally:
        if lock is not None:
            os.close(lock)
    print(f"{file}: {sum(manifest.rows.values()):,} rows of {len(manifest.rows)} tables, read back")
    return 0


def restore(plan: Plan, file: Path, *, force: bool) -> int:
    """Replace all that there is by what `file` holds, while no service runs. Returns 0.

    Args:
        plan: The mesh.
        file: A backup.
        force: Also when there is something that would be lost.

    Raises:
        MeshError: It did not go well: all is as it was, unless the text says that it has to be done again. Until then
            the mesh does not start.
    """
    lock, plan = _hold(plan)
    if lock is None:
        raise MeshError("the mesh is running: `python -m localmesh down`, then restore")
    try:
        with archives.opened(file) as (archive, manifest):
            asyncio.run(_restore(plan, archive, manifest, force=force))
    except OSError as error:
        msg = f"{error.filename or file}: {error.strerror or error}{_again(plan.paths)}"
        raise MeshError(msg) from error
    finally:
        os.close(lock)
    print(f"restored as of {manifest.time}: {sum(manifest.rows.values()):,} rows, counted")
    print(_AFTERWARDS + (_GIVEN_BROKER if plan.person.get("AMQP_URL") else ""))
    return 0


def _again(paths: Paths) -> str:
    return ". Restore again, with --force" if paths.restoring.exists() else ""


def _hold(plan: Plan) -> tuple[int | None, Plan]:
    """The lock of the mesh, so that nobody starts it meanwhile; None with the plan of the one that runs."""
    plan.paths.make()
    if (lock := take_lock(plan.paths)) is not None:
        return lock, plan
    state = running_state(plan.paths)
    if state is None or state.phase != "ready":
        raise MeshError("the mesh is starting or stopping: try again when it is up or down")
    return None, replace(plan, ports=Ports(state.port_offset))


@asynccontextmanager
async def _served(plan: Plan, *, running: bool = False) -> AsyncIterator[Database]:
    """The database, whose server is started for the time unless it runs."""
    database = Database(plan)
    supervisor = Supervisor([database.units], say, lambda: None, plan.longest_pause)
    if not running and database.units:
        require_free({"postgres": plan.ports.postgres})
        await supervisor.start("postgres")
    try:
        yield database
    finally:
        await supervisor.stop()


async def _backup(plan: Plan, file: Path, *, running: bool) -> Manifest:
    if not plan.person.get("DATABASE_URL") and not (plan.paths.postgres / "data").exists():
        msg = f"there is nothing to back up: {plan.paths.postgres} holds no database"
        raise MeshError(msg)
    async with _served(plan, running=running) as database:
        with archives.written_whole(file) as new:
            manifest = await _write(plan, database.admin_url, new)
            await asyncio.to_thread(_read_back, new)
    return manifest


async def _write(plan: Plan, url: str, path: Path) -> Manifest:
    """Writes the archive. Rows are counted in the snapshot that is dumped."""
    connection = await connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                await connection.execute(f"SET LOCAL {limit} = 0")
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            manifest = await _manifest(connection)
            await asyncio.to_thread(_fill, plan, url, snapshot, manifest, path)
    finally:
        await connection.close()
    return manifest


def _fill(plan: Plan, url: str, snapshot: str, manifest: Manifest, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        # Not compressed: the dump is already.
        with archive.open(archives.DUMP, "w", force_zip64=True) as target:
            tools.dump(url, _SCHEMAS, snapshot, target)
        archives.keep_secrets(archive, plan.paths.secrets)
        archives.keep_manifest(archive, manifest)


async def _manifest(connection: asyncpg.Connection) -> Manifest:
    tables = [row[0] for row in await connection.fetch(_TABLES, _SCHEMAS)]
    versions = [table for table in tables if table.endswith(".alembic_version")]
    if not versions:
        raise MeshError("there is nothing to back up: no service has made its tables")
    # The names come quoted from the server.
    return Manifest(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        server=await connection.fetchval("SHOW server_version"),
        revisions={
            table.partition(".")[0]: await connection.fetchval(
                f"SELECT version_num FROM {table}"  # noqa: S608
            )
            for table in versions
        },
        rows={
            table: await connection.fetchval(
                f"SELECT count(*) FROM ONLY {table}",  # noqa: S608
                timeout=_COUNT_SECONDS,
            )
            for table in tables
        },
    )


def _read_back(path: Path) -> None:
    """Reads a backup as a restoration does. Raises MeshError unless it is all there."""
    with archives.opened(path) as (archive, manifest), archives.dump_of(archive) as dump:
        found = tools.count_rows(dump)
    if found != manifest.rows:
        raise MeshError("the dump has not the rows that were counted: make another backup")


async def _restore(
    plan: Plan, archive: zipfile.ZipFile, manifest: Manifest, *, force: bool
) -> None:
    secrets = archives.secrets_of(archive)
    async with _served(plan) as database:
        url = database.admin_url
        await database.provision()
        await _refuse(url, force=force)
        again = plan.paths.restoring.exists()
        plan.paths.restoring.touch()
        try:
            with archives.dump_of(archive) as dump:
                await asyncio.to_thread(tools.restore, url, dump, _SCHEMAS, manifest.rows)
        except Exception:
            # Nothing has changed.
            if not again:
                plan.paths.restoring.unlink()
            raise
        # Messages and keys of another time are worse than none: the tables are there now.
        for folder in plan.paths.local.glob("rabbitmq*"):
            shutil.rmtree(folder)
        archives.restore_secrets(secrets, plan.paths.secrets)
        # Rights on the new schemas; those on tables came with them.
        await database.provision()
        plan.paths.restoring.unlink()
        await _analyze(url)


async def _analyze(url: str) -> None:
    """How common values are is not in a dump, and searches go by it."""
    connection = await connect(url)
    try:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute("ANALYZE", timeout=_COUNT_SECONDS)
    finally:
        await connection.close()


async def _refuse(url: str, *, force: bool) -> None:
    connection = await connect(url)
    try:
        guests = [row[0] for row in await connection.fetch(_GUESTS, ROLES)]
        tables = [row[0] for row in await connection.fetch(_TABLES, _SCHEMAS)]
    finally:
        await connection.close()
    if guests:
        msg = f"connected to the database: {', '.join(guests)}. Stop the services, then restore"
        raise MeshError(msg)
    if tables and not force:
        msg = f"the database has {len(tables)} tables, which would be lost: --force replaces them"
        raise MeshError(msg)
