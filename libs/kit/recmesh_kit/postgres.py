"""Connections to PostgreSQL, by the driver: how they are made, and when those that lie in a pool are thrown away."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog
from sqlalchemy import exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import Unavailable
from recmesh_kit.passing import sqlstate_of
from recmesh_kit.sockets import UNANSWERED_SECONDS
from recmesh_kit.telemetry.sql import TracedConnection

log = structlog.get_logger()

GRACE_SECONDS = 5.0
"""How much longer than the server's limit the client waits before it takes the connection for dead."""
_ABANDONED_SECONDS = 300
"""How long the server keeps a transaction, and its locks, of a client that says nothing: one that is stopped. Some
compute for minutes within one."""
_AWAY = (
    "08",  # The connection is lost.
    "25006",  # The server is a standby, by now or for now.
    "25P03",  # It has given up a transaction in which nothing was said.
    "53",  # It is out of connections, memory or disk,
    "57",  # or stops, starts, or took too long with a statement.
    "58",  # Its disk or system failed.
)
_OF_ONE_STATEMENT = ("53", "57014")
"""Those of them that say nothing against the connection."""
_MEANINGS = {
    "25006": "The database is read-only for now.",
    "25P03": "The transaction was idle for too long.",
    "53100": "The database's disk is full.",
    "53200": "The database is out of memory.",
    "53300": "The database has no connections left.",
    "57014": "The database did not answer in time.",
}
_KEY = "recmesh-age"


class Age:
    """Tells connections that were made before the last trouble from those after. When a server was restarted, or is
    the standby of another now, or does not answer, this holds for each connection to it: none of them is used again.
    """

    def __init__(self) -> None:
        self._now = 0

    def end(self) -> None:
        """What was made until now is thrown away, as soon as it would be used again."""
        self._now += 1

    def on_connect(self, connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        """A listener of the pool's event of this kind."""
        entry.info[_KEY] = self._now

    def on_checkout(
        self, connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        """A listener of the pool's event of this kind: has the pool replace a connection that is of another age, or
        that the server closed while it lay idle. Costs no round trip.
        """
        driver = entry.driver_connection
        if driver is None or driver.is_closed() or entry.info.get(_KEY) != self._now:
            raise exc.DisconnectionError


class Connector:
    """Makes connections for a pool.

    Args:
        url: `postgresql://…`, with whatever parameters asyncpg takes. Of several hosts, comma-separated, each is tried,
            and has its share of the time: one that hangs must not keep from the next. The one that served last comes
            first.
        timeout_seconds: Limit of connecting, and (with some grace) of each statement.
        settings: Of the session.
    """

    def __init__(self, url: str, timeout_seconds: float, settings: Mapping[str, str]) -> None:
        self._urls = hosts_of(url)
        self._first = 0
        self._made: weakref.WeakSet[asyncpg.Connection] = weakref.WeakSet()
        self.timeout = timeout_seconds
        self._settings = {
            # The server, too, lets go of a client that is gone without a word.
            "tcp_keepalives_idle": str(UNANSWERED_SECONDS // 3),
            "tcp_keepalives_interval": str(UNANSWERED_SECONDS // 3),
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": str(UNANSWERED_SECONDS * 1000),
            "idle_in_transaction_session_timeout": str(_ABANDONED_SECONDS * 1000),
            **settings,
        }

    async def __call__(self) -> asyncpg.Connection:
        """A new connection.

        Raises:
            Unavailable: No host gives one.
        """
        count = len(self._urls)
        last: Exception | None = None
        for number in range(count):
            place = (self._first + number) % count
            try:
                connection = await self._connect(self._urls[place], self.timeout / count)
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.TargetServerAttributeNotMatched,
            ) as error:
                log.warning("database unreachable", error=f"{type(error).__name__}: {error}")
                last = error
            else:
                self._first = place
                self._made.add(connection)
                return connection
        raise unavailable("The database cannot be reached.") from last

    def drop(self) -> None:
        """Ends the connections that are open still, without a goodbye."""
        for connection in list(self._made):
            connection.terminate()

    async def _connect(self, url: str, seconds: float) -> asyncpg.Connection:
        return await asyncpg.connect(
            url,
            timeout=seconds,
            command_timeout=self.timeout + GRACE_SECONDS,
            server_settings=self._settings,
            connection_class=TracedConnection,
        )


def hosts_of(url: str) -> list[str]:
    """The same URL for each of the hosts that it names before its path. (Those that it names in its parameters, the
    driver takes together.)
    """
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [url]
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(",")]


def as_unavailable(error: BaseException, *, lost: bool, age: Age) -> Unavailable | None:
    """What an error of the driver means to a caller when it says that the database is away, else None.

    Args:
        error: The error.
        lost: Whether the connection is.
        age: Ends, if the error speaks against all connections.
    """
    if isinstance(error, Unavailable) or not isinstance(error, Exception):
        return None
    state = sqlstate_of(error) or ""
    timed_out = is_timeout(error)
    if not (timed_out or state.startswith(_AWAY) or lost):
        return None
    log.warning("database failed", error=type(error).__name__, sqlstate=state)
    if lost or timed_out or not state.startswith(_OF_ONE_STATEMENT):
        age.end()
    meaning = _MEANINGS.get(state, "The database is away.")
    return unavailable(_MEANINGS["57014"] if timed_out else meaning)


def is_timeout(error: BaseException) -> bool:
    """Whether it is asyncpg's own time limit; a deadline of the caller arrives as a cancellation instead."""
    return isinstance(error, asyncio.TimeoutError)


def unavailable(message: str) -> Unavailable:
    """What is raised while the database is away."""
    return Unavailable(
        f"{message} Repeat the call a little later.",
        reason=reasons.ERROR_REASON_DATABASE_UNAVAILABLE,
    )
