"""PostgreSQL: one transaction a request or message; the statements of every job by the driver itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType

import asyncpg
from sqlalchemy import Engine, MetaData, event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import ConnectionPoolEntry

from recmesh_kit.errors import Unavailable
from recmesh_kit.passing import sqlstate_of
from recmesh_kit.postgres import (
    GRACE_SECONDS,
    Age,
    Connector,
    as_unavailable,
    is_timeout,
    unavailable,
)
from recmesh_kit.settings import DatabaseSettings

DRIVER_CONNECTIONS = 4
"""Most connections of a process for the statements of every job. They take a millisecond each."""
_CLOSE_SECONDS = 2.0
"""How long all connections of a pool have at the end to say goodbye: they do so one after the other."""
# Of a statement that names its rows by arrays, the plan for all values is as good as any; to plan it anew for each
# costs more than to run it, and that is what the server would do for the sake of the partitions it can leave out.
_DRIVER_SETTINGS = {"plan_cache_mode": "force_generic_plan"}


def metadata(schema: str) -> MetaData:
    """Metadata for the tables of a schema, with stable names for constraints and indexes."""
    return MetaData(
        schema=schema,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        },
    )


class Database:
    """Two pools of connections: one for transactions of SQLAlchemy, one for statements by the driver. Nothing is
    connected before the first use.

    Args:
        url: `postgresql://…`, with whatever parameters asyncpg takes; with several hosts, comma-separated, and
            `target_session_attrs=read-write`, it finds the primary after a failover.
        pool_size: Most connections open at once for transactions; there are `DRIVER_CONNECTIONS` more for statements
            by the driver, where there are any.
        timeout_seconds: Limit of connecting, of waiting for a connection of the pool, and of each statement.
        application_name: How the server lists the connections.
    """

    def __init__(
        self, url: str, *, pool_size: int, timeout_seconds: float, application_name: str
    ) -> None:
        self._timeout = timeout_seconds
        self._age = Age()
        self._answered = time.monotonic()
        settings = {
            "application_name": application_name,
            "statement_timeout": str(int(timeout_seconds * 1000)),
            # Compiling costs more than the short statements that it would speed up.
            "jit": "off",
            "timezone": "UTC",
        }
        connector = Connector(url, timeout_seconds, settings)
        driver_connector = Connector(url, timeout_seconds, settings | _DRIVER_SETTINGS)
        self._engine = _engine(connector, pool_size, self._age)
        self._driver_engine = _engine(driver_connector, DRIVER_CONNECTIONS, self._age)
        self._pools = ((self._engine, connector), (self._driver_engine, driver_connector))
        event.listen(self._engine.sync_engine, "handle_error", self._say_unavailable)
        event.listen(self._engine.sync_engine, "checkin", self._on_checkin)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @classmethod
    def of(cls, settings: DatabaseSettings, application_name: str) -> Database:
        """The database that the settings name."""
        return cls(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            timeout_seconds=settings.database_timeout_seconds,
            application_name=application_name,
        )

    @property
    def engines(self) -> Mapping[str, Engine]:
        """Its pools, by name: for what is measured and traced."""
        return {
            "transactions": self._engine.sync_engine,
            "statements": self._driver_engine.sync_engine,
        }

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(_close(engine, connector) for engine, connector in self._pools))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A transaction: committed at the end of the block, rolled back when an exception leaves it.

        Nothing is tried again: a deadlock or a serialisation failure leaves the block as SQLAlchemy's error.

        Raises:
            Unavailable: The database cannot be reached, is stopping, or took too long. When that befalls the commit,
                nobody knows whether it happened.
        """
        try:
            async with self._sessions() as session, session.begin():
                yield session
        except exc.TimeoutError as error:
            raise _busy() from error
        except asyncpg.InterfaceError as error:
            # Not of a statement, whose errors the engine turns into its own: a connection was lost while it was made
            # ready.
            self._age.end()
            raise unavailable("The database is away.") from error

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the driver, for the statements that every job pays for: each is a transaction of its own and
        one round trip. Several together take `async with connection.transaction()`.

        Nothing is tried again: other errors leave the block as asyncpg's.

        Raises:
            Unavailable: As `transaction`. When that befalls a statement, nobody knows whether it happened.
        """
        try:
            lent = await self._driver_engine.raw_connection()
        except exc.TimeoutError as error:
            raise _busy() from error
        except Exception as error:
            # Lost while it was being made ready: those first statements are the engine's own.
            away = as_unavailable(error, lost=sqlstate_of(error) is None, age=self._age)
            if away is None:
                raise
            raise away from error
        connection: asyncpg.Connection = lent.driver_connection
        try:
            yield connection
        except BaseException as error:
            away = as_unavailable(error, lost=connection.is_closed(), age=self._age)
            if not isinstance(error, Exception) or is_timeout(error):
                # The statement may be running still.
                lent.invalidate()
            if away is None:
                raise
            raise away from error
        finally:
            lent.close()

    async def ping(self) -> None:
        """Asks the database for a sign of life. Where all connections are at work, one that has ended of late counts.

        Raises:
            Unavailable: There is none.
        """
        try:
            # Waiting for a connection, and making one, have limits of their own.
            async with self._engine.connect() as connection, asyncio.timeout(self._timeout):
                await connection.exec_driver_sql("SELECT 1")
        except exc.TimeoutError as error:
            if time.monotonic() - self._answered > 2 * (self._timeout + GRACE_SECONDS):
                raise unavailable("The database answers nobody.") from error
        except TimeoutError as error:
            raise unavailable("The database does not answer.") from error

    def _on_checkin(self, connection: DBAPIConnection | None, _: ConnectionPoolEntry) -> None:
        """Notes that somebody had an answer: of a connection that had none, nothing comes back."""
        if connection is not None:
            self._answered = time.monotonic()

    def _say_unavailable(self, context: ExceptionContext) -> None:
        """Turns what says that the database is away into `Unavailable`; other errors stay what they are."""
        error = context.original_exception
        lost = context.is_disconnect and context.sqlalchemy_exception is not None
        if (away := as_unavailable(error, lost=lost, age=self._age)) is None:
            return
        if is_timeout(error):
            # It answers nothing more: a rollback would take as long again.
            context.is_disconnect = True
        raise away


def _engine(connector: Connector, pool_size: int, age: Age) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connector,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=connector.timeout,
        # The one that was used last: its statements are prepared, its plans made.
        pool_use_lifo=True,
        # Values may be personal: they do not belong in an error's text.
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", age.on_connect)
    event.listen(engine.sync_engine, "checkout", age.on_checkout)
    return engine


async def _close(engine: AsyncEngine, connector: Connector) -> None:
    """Closes a pool. A server that does not answer the goodbye is not waited for."""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await engine.dispose()
    finally:
        connector.drop()


def _busy() -> Unavailable:
    return unavailable("All connections to the database are busy.")
