"""PostgreSQL: one transaction a request or message; the statements of every job by the driver itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType

import asyncpg
import structlog
from sqlalchemy import Engine, MetaData, event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import Unavailable
from recmesh_kit.settings import DatabaseSettings

log = structlog.get_logger()

# Classes of SQLSTATE: connection lost, out of resources, operator intervention (shutdown, statement timeout).
_AWAY = ("08", "53", "57")
_GRACE_SECONDS = 5.0
"""How much longer than the server's limit the client waits before it takes the connection for dead."""
DRIVER_CONNECTIONS = 4
"""Most connections of a process for the statements of every job. They take a millisecond each."""
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
        url: `postgresql://…`, with whatever parameters asyncpg takes.
        pool_size: Most connections open at once for transactions; there are `DRIVER_CONNECTIONS` more for statements
            by the driver, where there are any.
        timeout_seconds: Limit of connecting, of waiting for a connection of the pool, and of each statement.
        application_name: How the server lists the connections.
    """

    def __init__(
        self, url: str, *, pool_size: int, timeout_seconds: float, application_name: str
    ) -> None:
        self._timeout = timeout_seconds
        settings = {
            "application_name": application_name,
            "statement_timeout": str(int(timeout_seconds * 1000)),
            # Compiling costs more than the short statements that it would speed up.
            "jit": "off",
            "timezone": "UTC",
        }
        self._engine = _engine(_Connector(url, timeout_seconds, settings), pool_size)
        self._driver_engine = _engine(
            _Connector(url, timeout_seconds, settings | _DRIVER_SETTINGS), DRIVER_CONNECTIONS
        )
        event.listen(self._engine.sync_engine, "handle_error", _say_unavailable)
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
        await self._engine.dispose()
        await self._driver_engine.dispose()

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
        connection: asyncpg.Connection = lent.driver_connection
        try:
            yield connection
        except BaseException as error:
            if not isinstance(error, Exception) or _is_timeout(error):
                # The statement may be running still.
                lent.invalidate()
            if (unavailable := _as_unavailable(error, lost=connection.is_closed())) is None:
                raise
            raise unavailable from error
        finally:
            lent.close()

    async def ping(self) -> None:
        """Asks the database for a sign of life. A pool with all its connections at work counts as one.

        Raises:
            Unavailable: There is none.
        """
        try:
            # Waiting for a connection, and making one, have limits of their own.
            async with self._engine.connect() as connection, asyncio.timeout(self._timeout):
                await connection.exec_driver_sql("SELECT 1")
        except exc.TimeoutError:
            return
        except TimeoutError as error:
            raise _unavailable("The database does not answer.") from error


class _Connector:
    """Makes connections for the pool. asyncpg gets the URL as it is, and so all of its parameters."""

    def __init__(self, url: str, timeout_seconds: float, settings: Mapping[str, str]) -> None:
        self._url = url
        self.timeout = timeout_seconds
        self._settings = dict(settings)

    async def __call__(self) -> asyncpg.Connection:
        try:
            return await asyncpg.connect(
                self._url,
                timeout=self.timeout,
                command_timeout=self.timeout + _GRACE_SECONDS,
                server_settings=self._settings,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("database unreachable", error=f"{type(error).__name__}: {error}")
            raise _unavailable("The database cannot be reached.") from error


def _engine(connector: _Connector, pool_size: int) -> AsyncEngine:
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
    event.listen(engine.sync_engine, "checkout", _skip_closed)
    return engine


def _say_unavailable(context: ExceptionContext) -> None:
    """Turns what says that the database is away into `Unavailable`; other errors stay what they are."""
    error = context.original_exception
    lost = context.is_disconnect and context.sqlalchemy_exception is not None
    if (unavailable := _as_unavailable(error, lost=lost)) is not None:
        raise unavailable


def _as_unavailable(error: BaseException, *, lost: bool) -> Unavailable | None:
    """What an error of the driver means to a caller when it says that the database is away, else None.

    Args:
        error: The error.
        lost: Whether the connection is.
    """
    if isinstance(error, Unavailable) or not isinstance(error, Exception):
        return None
    state = getattr(error, "sqlstate", None) or ""
    timed_out = _is_timeout(error)
    if not (timed_out or state.startswith(_AWAY) or lost):
        return None
    log.warning("database failed", error=type(error).__name__, sqlstate=state)
    return _unavailable(
        "The database did not answer in time." if timed_out else "The database is away."
    )


def _is_timeout(error: BaseException) -> bool:
    """Whether it is asyncpg's own time limit; a deadline of the caller arrives as a cancellation instead."""
    return isinstance(error, TimeoutError)


def _skip_closed(
    connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """Has the pool replace a connection that the server closed while it lay idle. Costs no round trip."""
    driver = entry.driver_connection
    if driver is None or driver.is_closed():
        raise exc.DisconnectionError


def _busy() -> Unavailable:
    return _unavailable("All connections to the database are busy.")


def _unavailable(message: str) -> Unavailable:
    return Unavailable(
        f"{message} Repeat the call a little later.",
        reason=reasons.ERROR_REASON_DATABASE_UNAVAILABLE,
    )
