import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import ProgrammingError

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
async def url(postgres: PostgresServer, database_name: str) -> AsyncIterator[str]:
    name = f"{database_name}_kit_migrations"
    yield (await postgres.create_database(name))["recmesh_catalog"]
    await postgres.drop_database(name)


async def fetch(url: str, query: str) -> list[object]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def is_current(url: str, package: Package) -> bool:
    async with Database(url, pool_size=1, timeout_seconds=60, application_name="x") as database:
        return await migrations.is_current(database, package.name, SCHEMA)


async def test_several_at_once_migrate_once(url: str, package: Package) -> None:
    assert not await is_current(url, package)
    await asyncio.gather(*(migrations.migrate(url, package.name, SCHEMA) for _ in range(3)))
    assert await fetch(url, "SELECT times FROM catalog.counted") == [1]
    assert await fetch(url, "SELECT version_num FROM catalog.alembic_version") == ["0002"]
    assert await fetch(url, "SELECT id FROM catalog.films") == []
    assert await is_current(url, package)


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
