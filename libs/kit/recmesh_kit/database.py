"""PostgreSQL: one engine a process, one transaction a request or message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

import asyncpg
import structlog
from sqlalchemy import MetaData, event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import Unavailable
from recmesh_kit.settings import DatabaseSettings

log = structlog.get_logger()

# Classes of SQLSTATE: connection lost, out of resources, operator intervention (shutdown, statement timeout).
_AWAY = ("08", "53", "57")
_GRACE_SECONDS = 5.0
"""How much longer than the server's limit the client waits before it takes the connection for dead."""


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
    """An engine with its pool. Nothing is connected before the first use.

    Args:
        url: `postgresql://…`, with whatever parameters asyncpg takes.
        pool_size: Most connections open at once.
        timeout_seconds: Limit of connecting, of waiting for a connection of the pool, and of each statement.
        application_name: How the server lists the connections.
    """

    def __init__(
        self, url: str, *, pool_size: int, timeout_seconds: float, application_name: str
    ) -> None:
        self._timeout = timeout_seconds
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=_Connector(url, timeout_seconds, application_name),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout_seconds,
            # Values may be personal: they do not belong in an error's text.
            hide_parameters=True,
        )
        event.listen(self._engine.sync_engine, "handle_error", _say_unavailable)
        event.listen(self._engine.sync_engine, "checkout", _skip_closed)
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

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._engine.dispose()

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
            raise _unavailable("All connections to the database are busy.") from error

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

    def __init__(self, url: str, timeout_seconds: float, application_name: str) -> None:
        self._url = url
        self._timeout = timeout_seconds
        self._settings = {
            "application_name": application_name,
            "statement_timeout": str(int(timeout_seconds * 1000)),
            # Compiling costs more than the short statements that it would speed up.
            "jit": "off",
            "timezone": "UTC",
        }

    async def __call__(self) -> asyncpg.Connection:
        try:
            return await asyncpg.connect(
                self._url,
                timeout=self._timeout,
                command_timeout=self._timeout + _GRACE_SECONDS,
                server_settings=self._settings,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("database unreachable", error=f"{type(error).__name__}: {error}")
            raise _unavailable("The database cannot be reached.") from error


def _say_unavailable(context: ExceptionContext) -> None:
    """Turns what says that the database is away into `Unavailable`; other errors stay what they are."""
    error = context.original_exception
    state = getattr(error, "sqlstate", None) or ""
    # asyncpg's own time limit; a deadline of the caller arrives as a cancellation instead.
    timed_out = isinstance(error, TimeoutError)
    if isinstance(error, Unavailable) or not (
        timed_out
        or state.startswith(_AWAY)
        or (context.is_disconnect and context.sqlalchemy_exception)
    ):
        return
    log.warning("database failed", error=type(error).__name__, sqlstate=state)
    raise _unavailable(
        "The database did not answer in time." if timed_out else "The database is away."
    )


def _skip_closed(
    connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """Has the pool replace a connection that the server closed while it lay idle. Costs no round trip."""
    driver = entry.driver_connection
    if driver is None or driver.is_closed():
        raise exc.DisconnectionError


def _unavailable(message: str) -> Unavailable:
    return Unavailable(
        f"{message} Repeat the call a little later.",
        reason=reasons.ERROR_REASON_DATABASE_UNAVAILABLE,
    )
