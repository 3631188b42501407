import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from localmesh.databases import PostgresServer
from recmesh.common.v1.error_reason_pb2 import ERROR_REASON_DATABASE_UNAVAILABLE
from recmesh_kit import database as database_module
from recmesh_kit import postgres as connections
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.postgres import Age, as_unavailable, hosts_of
from recmesh_kit.proxy import Proxy

Way = Callable[[Database], Awaitable[None]]
WRITE = "INSERT INTO catalog.things (id) VALUES (1) ON CONFLICT DO NOTHING"
BECOME_STANDBY = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
SECONDS = 60


@pytest.fixture(scope="module")
def name(database_name: str) -> str:
    return f"{database_name}_failover"


@pytest.fixture(scope="module")
async def url(postgres: PostgresServer, name: str) -> AsyncIterator[str]:
    yield (await postgres.create_database(name))["recmesh_catalog"]
    await postgres.drop_database(name)


@pytest.fixture
async def admin(url: str, postgres: PostgresServer, name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.admin_url_of(name))
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS catalog.things (id int PRIMARY KEY);"
        "GRANT ALL ON catalog.things TO recmesh_catalog"
    )
    yield connection
    await connection.close()


@pytest.fixture
async def proxy(url: str, admin: asyncpg.Connection) -> AsyncIterator[Proxy]:
    async with Proxy.to(url) as made:
        yield made


def database_at(url: str, seconds: float = SECONDS) -> Database:
    return Database(url, pool_size=2, timeout_seconds=seconds, application_name="kit-test")


async def write(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text(WRITE))


async def write_by_the_driver(database: Database) -> None:
    async with database.driver() as connection:
        await connection.execute(WRITE)


async def come_back(way: Way, database: Database) -> None:
    """Again and again, while it is away: limits that are short may be too short for once."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await way(database)
            except Unavailable:
                continue
            return


WAYS = pytest.mark.parametrize("way", [write, write_by_the_driver])


@WAYS
async def test_it_comes_back_after_it_was_cut_and_refused(proxy: Proxy, way: Way) -> None:
    async with database_at(proxy.url) as database:
        await way(database)
        await proxy.close()
        for _ in range(3):
            with pytest.raises(Unavailable) as failed:
                await way(database)
            assert failed.value.reason == ERROR_REASON_DATABASE_UNAVAILABLE
        await proxy.open()
        await way(database)


@WAYS
async def test_a_server_that_hangs_is_given_up(
    proxy: Proxy, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "GRACE_SECONDS", 0.1)
    before = asyncio.all_tasks()
    async with database_at(proxy.url, 0.5) as database, asyncio.timeout(SECONDS):
        await come_back(way, database)
        proxy.hang()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await way(database)
        hung = proxy.connections
        proxy.resume()
        await come_back(way, database)
        assert hung
    await proxy.cut()
    async with asyncio.timeout(SECONDS):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_at_the_end_a_server_that_hangs_is_not_waited_for(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_CLOSE_SECONDS", 0.1)
    async with database_at(proxy.url, 10 * SECONDS) as database:
        # The row is there: to write one that another open transaction has just written means to wait for its end.
        await write(database)
        async with AsyncExitStack() as lent:
            for way in (database.transaction, database.driver) * 2:
                one: Any = await lent.enter_async_context(way())
                await one.execute(WRITE if way == database.driver else text(WRITE))
        assert proxy.connections == 4
        proxy.hang()
        leaving = asyncio.timeout(SECONDS)
        await leaving.__aenter__()
    await leaving.__aexit__(None, None, None)
    # None of them is left.
    proxy.resume()
    async with asyncio.timeout(SECONDS):
        while proxy.connections:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


@WAYS
async def test_what_became_a_standby_is_unavailable_once(
    url: str, admin: asyncpg.Connection, way: Way
) -> None:
    async with database_at(url) as database:
        async with database.transaction() as session:
            await session.execute(text(BECOME_STANDBY))
        async with database.driver() as connection:
            await connection.execute(BECOME_STANDBY)
        with pytest.raises(Unavailable, match="read-only") as failed:
            await way(database)
        assert failed.value.retry_after
        # What one of the pools has learnt is true of the other.
        await write(database)
        await write_by_the_driver(database)


async def test_a_standby_is_not_connected_to(url: str, admin: asyncpg.Connection) -> None:
    change = "ALTER ROLE recmesh_catalog IN DATABASE {} {} default_transaction_read_only"
    database_name = await admin.fetchval("SELECT current_database()")
    await admin.execute(change.format(database_name, "SET") + " = on")
    async with database_at(f"{url}?target_session_attrs=read-write") as database:
        with pytest.raises(Unavailable):
            await write(database)
        await admin.execute(change.format(database_name, "RESET"))
        await write(database)


async def test_a_host_that_hangs_keeps_from_no_other(proxy: Proxy, url: str) -> None:
    proxy.hang()
    [server] = hosts_of(url)
    both = server.replace("@", f"@127.0.0.1:{proxy.port},", 1)
    async with database_at(f"{both}?target_session_attrs=read-write") as database:
        for _, connector in database._pools:
            connector.timeout = 1
        await come_back(write, database)
        for _, connector in database._pools:
            # On a slow machine the share of a second is little, and nothing hangs any more.
            connector.timeout = SECONDS
        met = proxy.connections
        async with database.transaction() as session:
            await session.execute(text(WRITE))
            # One more is made where the last was.
            await write(database)
        assert proxy.connections == met > 0


async def test_the_server_gives_up_who_says_nothing(url: str, admin: asyncpg.Connection) -> None:
    async with database_at(url) as database, database.driver() as connection:
        shown = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in ("idle_in_transaction_session_timeout", "tcp_keepalives_idle")
        }
    assert shown == {"idle_in_transaction_session_timeout": "5min", "tcp_keepalives_idle": "10"}


@pytest.mark.parametrize(
    ("error", "text", "against_all"),
    [
        (asyncpg.DiskFullError("x"), "disk is full", False),
        (asyncpg.OutOfMemoryError("x"), "out of memory", False),
        (asyncpg.QueryCanceledError("x"), "in time", False),
        (TimeoutError(), "in time", True),
        (asyncpg.AdminShutdownError("x"), "away", True),
        (asyncpg.ReadOnlySQLTransactionError("x"), "read-only", True),
    ],
    ids=repr,
)
def test_what_is_said_of_a_database_that_is_away(
    error: Exception, text: str, against_all: bool
) -> None:
    age = Age()
    said = as_unavailable(error, lost=False, age=age)
    assert said is not None
    assert text in said.message
    assert said.retry_after == 1.0
    assert (age._now > 0) is against_all


def test_each_host_has_a_url() -> None:
    assert hosts_of("postgresql://a:b%2Cc@h1:1,h2:2/d?x=y,z") == [
        "postgresql://a:b%2Cc@h1:1/d?x=y,z",
        "postgresql://a:b%2Cc@h2:2/d?x=y,z",
    ]
    assert hosts_of("postgresql:///d?host=h1,h2") == ["postgresql:///d?host=h1,h2"]


async def test_a_full_pool_is_a_sign_of_life_only_while_it_is_used(
    url: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(
        url, pool_size=1, timeout_seconds=SECONDS, application_name="x"
    ) as database:
        monkeypatch.setattr(database._engine.pool, "_timeout", 0.1)
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            await database.ping()
            monkeypatch.setattr(database, "_answered", database._answered - 1000)
            with pytest.raises(Unavailable, match="nobody"):
                await database.ping()
