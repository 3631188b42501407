import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from operator import itemgetter
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog
from asyncpg.transaction import Transaction
from sqlalchemy.exc import DBAPIError, ProgrammingError

from localmesh.databases import PostgresServer
from recmesh_kit import migrations
from recmesh_kit.database import Database

SCHEMA = "catalog"
FIRST = """
    from alembic import op
    import sqlalchemy as sa
    revision = "0001"
    down_revision = None
    def upgrade() -> None:
        op.create_table("films", sa.Column("id", sa.Integer, primary_key=True), schema="catalog")
        op.execute("CREATE TABLE counted AS SELECT 0 AS times")
        op.execute("SELECT pg_sleep(0.3)")
"""
SECOND = """
    from alembic import op
    revision = "0002"
    down_revision = "0001"
    def upgrade() -> None:
        op.execute("UPDATE counted SET times = times + 1")
"""
BROKEN = """
    from alembic import op
    revision = "0003"
    down_revision = "0002"
    def upgrade() -> None:
        op.execute("UPDATE counted SET times = times + 1")
        op.execute("SELECT no_such_function()")
"""
BLOCKED = """
    from alembic import op
    revision = "0003"
    down_revision = "0002"
    def upgrade() -> None:
        op.execute("ALTER TABLE films ADD COLUMN title text")
"""
ONLINE = """
    from alembic import op
    from recmesh_kit.migrations.online import create_index_online
    revision = "0003"
    down_revision = "0002"
    def upgrade() -> None:
        create_index_online("ix_films_even", "films", ["id"], schema="catalog", where="id % 2 = 0")
        op.execute("UPDATE counted SET times = times + 1")
"""
PARTITIONED = FIRST.replace(
    'schema="catalog"', 'schema="catalog", postgresql_partition_by="RANGE (id)"'
).replace(
    'op.execute("CREATE TABLE counted',
    """op.execute("CREATE TABLE films_low PARTITION OF films FOR VALUES FROM (0) TO (10)")
        op.execute("CREATE TABLE films_high PARTITION OF films FOR VALUES FROM (10) TO (99)")
        op.execute("CREATE TABLE counted""",
)
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
WAITS = (
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND query LIKE 'CREATE INDEX CONCURRENTLY%' AND datname = current_database()"
)


class Package:
    """A package with migrations, on the disk."""

    def __init__(self, folder: Path, name: str, *, inside: bool) -> None:
        self.name = name
        self._versions = (folder / name if inside else folder) / "migrations" / "versions"
        self._versions.mkdir(parents=True)
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").touch()

    def add(self, name: str, source: str) -> None:
        lines = [line.removeprefix("    ") for line in source.splitlines()]
        (self._versions / f"{name}.py").write_text("\n".join(lines))

    def remove(self, name: str) -> None:
        (self._versions / f"{name}.py").unlink()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are found."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


@pytest.fixture
def package(folder: Path) -> Package:
    """As in a checkout: the migrations lie beside the package."""
    made = Package(folder, "migrated", inside=False)
    made.add("0001_films", FIRST)
    made.add("0002_more", SECOND)
    return made


@pytest.fixture
def short_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lock of a table is waited for."""
    monkeypatch.setattr(migrations, "_TABLE_LOCK", "1ms")


@pytest.fixture
async def url(postgres: PostgresServer, database_name: str) -> AsyncIterator[str]:
    name = f"{database_name}_kit_migrations"
    yield (await postgres.create_database(name))["recmesh_catalog"]
    await postgres.drop_database(name)


async def fetch(url: str, query: str, **settings: str) -> list[object]:
    connection = await asyncpg.connect(url, server_settings=settings)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def ready(value: object) -> object:
    return value


async def until(look: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await look():  # noqa: ASYNC110 - happens elsewhere
            await asyncio.sleep(0.01)


@asynccontextmanager
async def half_built(
    url: str, package: Package, first: str
) -> AsyncIterator[tuple[asyncio.Task[None], Transaction]]:
    """A migration that waits for a writer's transaction to build an index."""
    package.add("0001_films", first)
    await migrations.migrate(url, package.name, SCHEMA)
    package.add("0003_online", ONLINE)
    connection = await asyncpg.connect(url)
    try:
        writer = connection.transaction()
        await writer.start()
        low = "_low" if first is PARTITIONED else ""
        await connection.execute(f"INSERT INTO catalog.films{low} VALUES (1)")  # noqa: S608
        migrating = asyncio.create_task(migrations.migrate(url, package.name, SCHEMA, pauses=()))
        await until(lambda: fetch(url, WAITS))
        yield migrating, writer
    finally:
        await connection.close()


async def is_current(url: str, package: Package) -> bool:
    async with Database(url, pool_size=1, timeout_seconds=60, application_name="x") as database:
        return await migrations.is_current(database, package.name, SCHEMA)


async def test_several_at_once_migrate_once(url: str, package: Package) -> None:
    assert not await is_current(url, package)
    await asyncio.gather(*(migrations.migrate(url, package.name, SCHEMA) for _ in range(4)))
    assert await fetch(url, "SELECT times FROM catalog.counted") == [1]
    assert await fetch(url, "SELECT version_num FROM catalog.alembic_version") == ["0002"]
    assert await fetch(url, "SELECT id FROM catalog.films") == []
    assert await is_current(url, package)


@pytest.mark.parametrize("first", [FIRST, PARTITIONED])
async def test_several_at_once_build_an_index_once(url: str, package: Package, first: str) -> None:
    """Those that wait for their turn do not hold up the build, which waits for everybody's transactions."""
    package.add("0001_films", first)
    package.add("0003_online", ONLINE)
    await asyncio.gather(*(migrations.migrate(url, package.name, SCHEMA) for _ in range(4)))
    assert await fetch(url, "SELECT times FROM catalog.counted") == [2]
    assert await fetch(url, INVALID) == []
    assert await is_current(url, package)


@pytest.mark.parametrize("first", [FIRST, PARTITIONED])
async def test_writers_go_on_while_an_index_is_built(
    url: str, package: Package, first: str, short_locks: None
) -> None:
    async with half_built(url, package, first) as (migrating, writer):
        # Another one, who waits for nobody.
        await fetch(url, "INSERT INTO catalog.films VALUES (2), (12)", lock_timeout="1ms")
        assert not migrating.done()
        await writer.commit()
        await migrating
    assert await fetch(url, "SELECT id FROM catalog.films ORDER BY id") == [1, 2, 12]
    assert await fetch(url, INVALID) == []
    assert await is_current(url, package)


@pytest.mark.parametrize("first", [FIRST, PARTITIONED])
async def test_an_index_that_was_left_half_built_is_built_anew(
    url: str, package: Package, first: str
) -> None:
    async with half_built(url, package, first) as (migrating, writer):
        (pid,) = await fetch(url, WAITS)
        await fetch(url, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(DBAPIError):
            await migrating
        assert await fetch(url, INVALID) != []
        assert not await is_current(url, package)
        await writer.commit()
    await migrations.migrate(url, package.name, SCHEMA)
    assert await fetch(url, INVALID) == []
    assert await fetch(url, "SELECT times FROM catalog.counted") == [2]


async def test_a_lock_that_is_not_to_be_had_is_tried_again(
    url: str, package: Package, short_locks: None
) -> None:
    """A long transaction holds up the migration, and nobody else for longer than the limit."""
    await migrations.migrate(url, package.name, SCHEMA)
    package.add("0003_blocked", BLOCKED)
    holder = await asyncpg.connect(url)
    try:
        reading = holder.transaction()
        await reading.start()
        await holder.fetch("SELECT * FROM catalog.films")
        with pytest.raises(DBAPIError, match="lock timeout"):
            await migrations.migrate(url, package.name, SCHEMA, pauses=())
        with structlog.testing.capture_logs() as logged:
            again = asyncio.create_task(
                migrations.migrate(url, package.name, SCHEMA, pauses=[0.01] * 10_000)
            )
            await until(
                lambda: ready("migration is tried again" in map(itemgetter("event"), logged))
            )
            await reading.rollback()
            await again
    finally:
        await holder.close()
    assert await fetch(url, "SELECT title FROM catalog.films") == []
    assert await is_current(url, package)


async def test_a_database_that_is_away_is_tried_again(url: str, package: Package) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    with structlog.testing.capture_logs() as logged, pytest.raises(OSError, match="Connect"):
        await migrations.migrate(nowhere, package.name, SCHEMA, pauses=(0.01, 0.01))
    assert [entry["event"] for entry in logged] == ["migration is tried again"] * 2


async def test_a_wrong_password_is_not_tried_again(url: str, package: Package) -> None:
    wrong = urlsplit(url)
    server = wrong.netloc.rpartition("@")[2]
    with pytest.raises(DBAPIError, match="password"):
        await migrations.migrate(
            urlunsplit(wrong._replace(netloc=f"{wrong.username}:wrong@{server}")),
            package.name,
            SCHEMA,
            pauses=(3600,),
        )


async def test_migrations_within_the_package_are_found(url: str, folder: Path) -> None:
    wheel = Package(folder, "migrated_wheel", inside=True)
    wheel.add("0001_films", FIRST)
    await migrations.migrate(url, wheel.name, SCHEMA)
    assert await is_current(url, wheel)


async def test_each_migration_is_a_transaction(url: str, package: Package) -> None:
    package.add("0003_broken", BROKEN)
    with pytest.raises(ProgrammingError):
        await migrations.migrate(url, package.name, SCHEMA)
    assert await fetch(url, "SELECT times FROM catalog.counted") == [1]
    assert await fetch(url, "SELECT version_num FROM catalog.alembic_version") == ["0002"]
    assert not await is_current(url, package)


async def test_the_next_one_goes_on_after_a_failure(url: str, package: Package) -> None:
    package.add("0003_broken", BROKEN)
    with pytest.raises(ProgrammingError):
        await migrations.migrate(url, package.name, SCHEMA)
    package.add("0003_broken", BROKEN.replace("no_such_function", "now"))
    await migrations.migrate(url, package.name, SCHEMA)
    assert await fetch(url, "SELECT times FROM catalog.counted") == [2]


async def test_newer_tables_are_current_for_older_code(url: str, package: Package) -> None:
    await migrations.migrate(url, package.name, SCHEMA)
    package.remove("0002_more")
    assert await is_current(url, package)
    # As a version that was taken back does at its start.
    await migrations.migrate(url, package.name, SCHEMA)
    assert await fetch(url, "SELECT version_num FROM catalog.alembic_version") == ["0002"]


async def test_a_schema_that_is_missing_is_made(
    postgres: PostgresServer, url: str, database_name: str, package: Package
) -> None:
    admin = postgres.admin_url_of(f"{database_name}_kit_migrations")
    assert await fetch(admin, "DROP SCHEMA catalog") == []
    await migrations.migrate(admin, package.name, SCHEMA)
    assert await fetch(admin, "SELECT times FROM catalog.counted") == [1]


def test_without_a_loop(url: str, package: Package) -> None:
    migrations.upgrade(url, package.name, SCHEMA)


async def test_a_package_without_migrations_is_an_error(url: str) -> None:
    with pytest.raises(FileNotFoundError, match="no migrations"):
        await migrations.migrate(url, "recmesh_kit.chain", SCHEMA)
