import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Column, Index, Integer, Table, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from localmesh.databases import PostgresServer
from recmesh.common.v1.error_reason_pb2 import ERROR_REASON_DATABASE_UNAVAILABLE
from recmesh_kit.database import DRIVER_CONNECTIONS, Database, metadata
from recmesh_kit.errors import Unavailable

SECONDS = 60
PLAIN_INSERT = "INSERT INTO catalog.things (id) VALUES ($1)"
INSERT = text("INSERT INTO catalog.things (id) VALUES (:id)")


@pytest.fixture(scope="module")
async def url(postgres: PostgresServer, database_name: str) -> AsyncIterator[str]:
    name = f"{database_name}_kit"
    yield (await postgres.create_database(name))["recmesh_catalog"]
    await postgres.drop_database(name)


@pytest.fixture
async def admin(
    url: str, postgres: PostgresServer, database_name: str
) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the same database, in which nobody else is."""
    connection = await asyncpg.connect(postgres.admin_url_of(f"{database_name}_kit"))
    # The server may take a moment to let go of those who have gone.
    await kill_backends(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def database(url: str, admin: asyncpg.Connection) -> AsyncIterator[Database]:
    await admin.execute(
        "DROP TABLE IF EXISTS catalog.things; CREATE TABLE catalog.things (id int PRIMARY KEY);"
        "GRANT ALL ON catalog.things TO recmesh_catalog"
    )
    async with Database(url, pool_size=2, timeout_seconds=60, application_name="kit-test") as made:
        yield made


async def ids(admin: asyncpg.Connection) -> list[int]:
    return [row["id"] for row in await admin.fetch("SELECT id FROM catalog.things ORDER BY id")]


async def kill_backends(admin: asyncpg.Connection) -> int:
    """Ends all connections of the database under test, and returns when they are gone."""
    killed = await admin.fetch(
        "SELECT pid, pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'kit-test'"
    )
    return len(killed)


def busy_soon(monkeypatch: pytest.MonkeyPatch, database: Database, pool: str) -> None:
    """Has a pool wait for a connection for a moment only, instead of the time that all else has."""
    lent = database.engines[pool].pool
    assert isinstance(lent, QueuePool)
    assert lent.timeout() == SECONDS
    monkeypatch.setattr(lent, "_timeout", 0.1)


async def answers(database: Database) -> None:
    """Returns once there is a sign of life: limits that are short may be too short for once."""
    async with asyncio.timeout(SECONDS):
        while True:
            with suppress(Unavailable):
                return await database.ping()


async def test_the_block_ends_with_a_commit(database: Database, admin: asyncpg.Connection) -> None:
    async with database.transaction() as session:
        await session.execute(INSERT, {"id": 1})
        assert await ids(admin) == []
    assert await ids(admin) == [1]


async def test_an_error_rolls_back(database: Database, admin: asyncpg.Connection) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            await session.execute(INSERT, {"id": 1})
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await fail()
    assert await ids(admin) == []


async def test_a_caller_that_goes_away_rolls_back_and_frees_the_connection(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def slow() -> None:
        async with database.transaction() as session:
            await session.execute(INSERT, {"id": 1})
            await session.execute(text("SELECT pg_sleep(30)"))

    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await slow()
    async with database.transaction() as session:
        await session.execute(INSERT, {"id": 2})
    assert await ids(admin) == [2]


async def test_what_the_caller_did_wrong_stays_what_it_is(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(INSERT, {"id": 1})
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(INSERT, {"id": 1})
    with pytest.raises(OSError, match="mine"):
        async with database.transaction():
            raise OSError("mine")


async def test_values_stand_in_no_error(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(INSERT, {"id": 31337})
    with pytest.raises(IntegrityError) as failed:
        async with database.transaction() as session:
            await session.execute(INSERT.bindparams(id=31337))
    assert "[SQL parameters hidden" in str(failed.value)


async def test_connections_lost_while_idle_fail_one_call_at_the_most(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def use(id_: int) -> None:
        async with database.transaction() as session:
            await session.execute(INSERT, {"id": id_})

    await asyncio.gather(use(1), use(2))
    assert await kill_backends(admin) == 2
    failures = 0
    for id_ in (3, 4):
        try:
            await use(id_)
        except Unavailable:
            failures += 1
            await use(id_)
    assert failures <= 1
    assert await ids(admin) == [1, 2, 3, 4]


async def test_a_connection_lost_at_work_is_unavailable_once(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def work() -> None:
        async with database.transaction() as session:
            await session.execute(INSERT, {"id": 1})
            assert await kill_backends(admin) == 1
            await session.execute(INSERT, {"id": 2})

    with pytest.raises(Unavailable) as failed:
        await work()
    assert failed.value.reason == ERROR_REASON_DATABASE_UNAVAILABLE
    async with database.transaction() as session:
        await session.execute(INSERT, {"id": 3})
    assert await ids(admin) == [3]


async def test_a_commit_that_fails_is_unavailable(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def work() -> None:
        async with database.transaction() as session:
            await session.execute(INSERT, {"id": 1})
            await kill_backends(admin)

    with pytest.raises(Unavailable):
        await work()
    assert await ids(admin) == []


async def test_no_database_is_unavailable(held_port: int) -> None:
    url = f"postgresql://a:secret@127.0.0.1:{held_port}/b"
    async with Database(url, pool_size=1, timeout_seconds=1, application_name="x") as database:
        with pytest.raises(Unavailable) as failed:
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))
        assert failed.value.reason == ERROR_REASON_DATABASE_UNAVAILABLE
        assert failed.value.retry_after
        with pytest.raises(Unavailable):
            await database.ping()


async def test_a_database_that_does_not_answer_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://a:b@127.0.0.1:{silent.getsockname()[1]}/c?sslmode=disable"
        async with Database(
            url, pool_size=1, timeout_seconds=0.2, application_name="x"
        ) as database:
            async with asyncio.timeout(60):
                with pytest.raises(Unavailable):
                    await database.ping()


async def test_a_statement_has_a_limit(url: str) -> None:
    async with Database(url, pool_size=1, timeout_seconds=1, application_name="x") as database:
        with pytest.raises(Unavailable):
            async with database.transaction() as session:
                await session.execute(text("SELECT pg_sleep(30)"))
        await answers(database)


async def test_a_busy_pool_is_unavailable_and_yet_alive(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(
        url, pool_size=1, timeout_seconds=SECONDS, application_name="x"
    ) as database:
        busy_soon(monkeypatch, database, "transactions")
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            with pytest.raises(Unavailable, match="busy"):
                async with database.transaction() as other:
                    await other.execute(text("SELECT 1"))
            await database.ping()
        await database.ping()


async def test_a_deadlock_is_not_hidden(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(INSERT, [{"id": 1}, {"id": 2}])
    both = asyncio.Barrier(2)

    async def touch(first: int, second: int) -> None:
        async with database.transaction() as session:
            for id_ in (first, second):
                await session.execute(
                    text("SELECT 1 FROM catalog.things WHERE id = :id FOR UPDATE"), {"id": id_}
                )
                if id_ == first:
                    await both.wait()

    results = await asyncio.gather(touch(1, 2), touch(2, 1), return_exceptions=True)
    [error] = [result for result in results if result is not None]
    assert isinstance(error, DBAPIError)
    assert getattr(error.orig, "sqlstate", None) == "40P01"


async def test_what_the_server_is_told(database: Database) -> None:
    async with database.transaction() as session:
        shown = {
            name: await session.scalar(text(f"SHOW {name}"))
            for name in ("application_name", "statement_timeout", "jit", "timezone")
        }
    assert shown == {
        "application_name": "kit-test",
        "statement_timeout": "1min",
        "jit": "off",
        "timezone": "UTC",
    }


async def test_a_statement_by_the_driver_is_a_transaction_of_its_own(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def fail() -> None:
        async with database.driver() as connection, connection.transaction():
            await connection.execute(PLAIN_INSERT, 2)
            raise ValueError("mine")

    async with database.driver() as connection:
        await connection.execute(PLAIN_INSERT, 1)
        assert await ids(admin) == [1]
        assert await connection.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
    with pytest.raises(ValueError, match="mine"):
        await fail()
    assert await ids(admin) == [1]


async def test_what_goes_wrong_by_the_driver_stays_what_it_is(database: Database) -> None:
    async with database.driver() as connection:
        await connection.execute(PLAIN_INSERT, 1)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.driver() as connection:
            await connection.execute(PLAIN_INSERT, 1)
    with pytest.raises(OSError, match="mine"):
        async with database.driver():
            raise OSError("mine")


async def test_a_caller_of_the_driver_that_goes_away_frees_the_connection(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def slow() -> None:
        async with database.driver() as connection, connection.transaction():
            await connection.execute(PLAIN_INSERT, 1)
            await connection.execute("SELECT pg_sleep(30)")

    for _ in range(DRIVER_CONNECTIONS + 1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await slow()
    async with database.driver() as connection:
        await connection.execute(PLAIN_INSERT, 2)
    assert await ids(admin) == [2]


async def test_a_connection_of_the_driver_that_is_lost_is_replaced(
    database: Database, admin: asyncpg.Connection
) -> None:
    async def work() -> None:
        async with database.driver() as connection:
            await connection.execute(PLAIN_INSERT, 1)
            assert await kill_backends(admin) == 1
            await connection.execute(PLAIN_INSERT, 2)

    with pytest.raises(Unavailable) as failed:
        await work()
    assert failed.value.reason == ERROR_REASON_DATABASE_UNAVAILABLE
    async with database.driver() as connection:
        await connection.execute(PLAIN_INSERT, 3)
    assert await ids(admin) == [1, 3]


async def test_the_driver_has_the_same_limits(
    url: str, held_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(url, pool_size=1, timeout_seconds=1, application_name="x") as database:
        with pytest.raises(Unavailable):
            async with database.driver() as connection:
                await connection.execute("SELECT pg_sleep(30)")
    async with (
        Database(url, pool_size=1, timeout_seconds=SECONDS, application_name="x") as database,
        AsyncExitStack() as lent,
    ):
        busy_soon(monkeypatch, database, "statements")
        for _ in range(DRIVER_CONNECTIONS):
            await lent.enter_async_context(database.driver())
        with pytest.raises(Unavailable, match="busy"):
            async with database.driver():
                pass
    url = f"postgresql://a:secret@127.0.0.1:{held_port}/b"
    async with Database(url, pool_size=1, timeout_seconds=1, application_name="x") as database:
        with pytest.raises(Unavailable):
            async with database.driver():
                pass


def test_names_of_constraints_are_stable() -> None:
    table = Table("t", metadata("s"), Column("a", Integer, primary_key=True), Index(None, "a"))
    assert table.schema == "s"
    assert table.primary_key.name == "pk_t"
    assert [index.name for index in table.indexes] == ["ix_t_a"]


async def test_a_connection_that_is_lost_while_it_is_made_ready_is_the_databases_absence(
    postgres: PostgresServer, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = await postgres.create_database(database_name)

    async def lose(_: object, connection: Any) -> None:
        connection.driver_connection.terminate()
        await connection.driver_connection.fetchval("SELECT 1")

    monkeypatch.setattr(PGDialect_asyncpg, "setup_asyncpg_json_codec", lose)
    async with Database(
        urls["recmesh_auth"], pool_size=1, timeout_seconds=5, application_name="test"
    ) as database:
        with pytest.raises(Unavailable):
            async with database.driver():
                pass
        with pytest.raises(Unavailable):
            async with database.transaction() as session:
                await session.connection()
