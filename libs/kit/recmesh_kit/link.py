"""The connection to RabbitMQ: kept up in the background, with everything declared that has to be there."""

from __future__ import annotations

import asyncio

import structlog
from aio_pika.abc import AbstractConnection
from yarl import URL

from recmesh_kit import amqp
from recmesh_kit.amqp import TopologyError, translated, unavailable
from recmesh_kit.errors import Unavailable
from recmesh_kit.tasks import backoff
from recmesh_kit.topology import Topology
from recmesh_kit.wire import WiredConnection

log = structlog.get_logger()

OLDEST = (3, 10)
NEWEST_MAJOR = 4
_HEARTBEAT_SECONDS = 10
"""A peer that is gone without a word is noticed after about three of these."""
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class UnsupportedBroker(Exception):
    """The broker is of a version that this code was not written for."""


class Link:
    """Connects, declares, and does both again when the connection is lost, with bounded pauses spread at random.

    aio-pika's own robust connection pauses for a fixed time, so that all pods would come back at once, and restores
    queues and consumers as they were; here each consumer begins anew, and says whether it is there.

    Args:
        url: `amqp://user:password@host:port/vhost`.
        name: How the server lists the connection.
        timeout_seconds: Limit of connecting and of each operation.
    """

    def __init__(self, url: str, *, name: str, timeout_seconds: float) -> None:
        self._url = URL(url)
        if "heartbeat" not in self._url.query:
            self._url = self._url.update_query(heartbeat=_HEARTBEAT_SECONDS)
        self._name = name
        self._timeout = timeout_seconds
        self._topologies: list[Topology] = []
        self._up = asyncio.Event()
        self.connection: WiredConnection | None = None
        """The connection of this moment."""
        self.tried = asyncio.Event()
        """Set once the first attempt has ended."""
        self.unsupported: UnsupportedBroker | None = None
        """Why the last broker that was reached cannot be used."""

    def live(self) -> WiredConnection:
        """The connection.

        Raises:
            Unavailable: There is none.
        """
        if self.connection is None:
            raise unavailable("The broker is away. Repeat the call a little later.")
        return self.connection

    async def wait(self) -> WiredConnection:
        """The connection, once there is one."""
        while self.connection is None:
            await self._up.wait()
        return self.connection

    async def declare(self, topology: Topology) -> None:
        """Declares now, if there is a connection, and after each reconnection.

        Raises:
            TopologyError: The broker has something else under one of the names, or does not allow it.
        """
        if topology not in self._topologies:
            self._topologies.append(topology)
        if self.connection is None:
            return
        try:
            await amqp.declare(self.connection, topology, self._timeout)
        except Unavailable as error:
            log.warning("declaring put off", error=str(error))
        except TopologyError:
            self._topologies.remove(topology)
            raise

    async def keep(self) -> None:
        """Keeps the connection up, until it is cancelled."""
        failures = 0
        while True:
            try:
                with translated("connecting"):
                    await self._stay()
                failures = 0
            except (UnsupportedBroker, TopologyError) as error:
                failures += 1
                log.error("broker not usable", error=str(error))  # noqa: TRY400 - no stack is needed
            except Unavailable as error:
                failures += 1
                log.warning("broker unreachable", cause=repr(error.__cause__), failures=failures)
            self.tried.set()
            await asyncio.sleep(
                backoff(max(failures, 1), _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            )

    async def _stay(self) -> None:
        """Connects, declares, and returns when the connection is lost."""
        connection = WiredConnection(self._url, name=self._name)
        try:
            await connection.connect(timeout=self._timeout)
            version = self._check(connection)
            for topology in self._topologies:
                await amqp.declare(connection, topology, self._timeout)
            self.connection = connection
            self._up.set()
            self.tried.set()
            log.info("broker connected", host=self._url.host, vhost=self._url.path, version=version)
            assert connection.transport is not None
            lost = connection.transport.connection.closing
            await asyncio.wait([lost])
            cause = None if lost.cancelled() else lost.exception()
            log.warning("broker connection lost", cause=repr(cause))
        finally:
            self.connection = None
            self._up.clear()
            try:
                await amqp.close_quietly(connection)
            finally:
                # One that could not say goodbye counts as open, and would try again wherever it is collected. Without
                # a transport it is closed at once.
                await connection.close()

    def _check(self, connection: AbstractConnection) -> str:
        assert connection.transport is not None
        version = str(connection.transport.connection.server_properties.get("version", ""))
        self.unsupported = None
        try:
            check_version(version)
        except UnsupportedBroker as error:
            self.unsupported = error
            raise
        return version


def check_version(version: str) -> None:
    """Checks what the server says of itself, such as `3.12.14`.

    Raises:
        UnsupportedBroker: It is not RabbitMQ 3.10 to 4.x.
    """
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    known = major.isdecimal() and minor.isdecimal()
    if not known or (int(major), int(minor)) < OLDEST or int(major) > NEWEST_MAJOR:
        raise UnsupportedBroker(f"RabbitMQ {version!r} is not supported: 3.10 to 4.x is")
