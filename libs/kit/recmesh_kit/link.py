"""The connections to RabbitMQ: kept up in the background, with everything declared that has to be there."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractConnection
from yarl import URL

from recmesh_kit import amqp
from recmesh_kit.amqp import TopologyError, translated, unavailable
from recmesh_kit.errors import CannotStart, Unavailable
from recmesh_kit.tasks import Comeback, end_if_cancelled
from recmesh_kit.topology import Topology
from recmesh_kit.wire import WiredConnection

log = structlog.get_logger()

OLDEST = (3, 10)
NEWEST_MAJOR = 4
_HEARTBEAT_SECONDS = 10
"""A peer that is gone without a word is noticed after about three of these."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""A connection or consumer that ends sooner counts as a failure: the pause after it is longer than the last."""


class BadUrl(CannotStart, ValueError):
    """What is no URL of a broker stands where one must. The text does not repeat it: it may hold a password."""


class UnsupportedBroker(CannotStart):
    """The broker is of a version that this code was not written for."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The two of a process, to one node.

    Attributes:
        taking: For what is consumed, declared and looked at.
        giving: For what is published. A broker that is short of memory or disk stops reading a connection that
            publishes; acknowledgements by the same one would be stuck, and with them what would make it room.
    """

    taking: WiredConnection
    giving: WiredConnection


class Link:
    """Connects, declares, and does both again when a connection is lost, with bounded pauses spread at random.

    aio-pika's own robust connection pauses for a fixed time, so that all pods would come back at once, and restores
    queues and consumers as they were; here each consumer begins anew, and says whether it is there.

    Args:
        urls: `amqp://user:password@host:port/vhost`, or several of them, comma-separated: nodes of one cluster. They
            are tried in turn, from one taken at random.
        name: How the server lists the connections.
        timeout_seconds: Limit of connecting and of each operation.

    Raises:
        BadUrl: One of the URLs is none.
    """

    def __init__(self, urls: str, *, name: str, timeout_seconds: float) -> None:
        self._nodes = nodes_of(urls)
        self._turn = random.randrange(len(self._nodes))  # noqa: S311 - spreads load, guards nothing
        self._name = name
        self._timeout = timeout_seconds
        self._topologies: list[Topology] = []
        self._comeback = Comeback(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STEADY_SECONDS)
        self._missed = 0
        self._up = asyncio.Event()
        self.connections: Connections | None = None
        """Those of this moment."""
        self.tried = asyncio.Event()
        """Set once there was a connection, or every node has been tried."""
        self.unsupported: UnsupportedBroker | None = None
        """Why the last broker that was reached cannot be used."""
        self.reached_at: float | None = None
        """Since when, by the loop's clock, the broker could be reached, whether or not it could be used; None while it
        cannot."""

    def live(self) -> Connections:
        """The connections.

        Raises:
            Unavailable: There are none.
        """
        if self.connections is None:
            raise unavailable("The broker is away. Repeat the call a little later.")
        return self.connections

    async def wait(self) -> WiredConnection:
        """The connection to consume by, once there is one."""
        while self.connections is None:
            await self._up.wait()
        return self.connections.taking

    async def declare(self, topology: Topology) -> None:
        """Declares now, if there is a connection, and after each reconnection.

        Raises:
            TopologyError: The broker has something else under one of the names, or does not allow it.
        """
        if topology not in self._topologies:
            self._topologies.append(topology)
        both = self.connections
        if both is None:
            return
        try:
            await amqp.declare(both.taking, topology, self._timeout)
        except Unavailable as error:
            log.warning("declaring put off", error=str(error))
            # To the next connection. The broker may only have been slow: then this one would last, without the queues.
            both.taking.abort()
        except TopologyError:
            self._topologies.remove(topology)
            raise

    async def keep(self) -> None:
        """Keeps the connections up, until it is cancelled."""
        while True:
            url = self._nodes[self._turn]
            self._turn = (self._turn + 1) % len(self._nodes)
            try:
                with translated("connecting"):
                    await self._stay(url)
            except (UnsupportedBroker, TopologyError) as error:
                log.error("broker not usable", host=url.host, error=str(error))  # noqa: TRY400 - no stack is needed
            except Unavailable as error:
                log.warning("broker unreachable", host=url.host, cause=repr(error.__cause__))
            except Exception:
                log.exception("keeping up the connection failed", host=url.host)
            end_if_cancelled()
            pause = self._comeback.pause(len(self._nodes))
            if self._comeback.failures >= len(self._nodes):
                self.tried.set()
            await asyncio.sleep(pause)

    async def _stay(self, url: URL) -> None:
        """Connects, declares, and returns when a connection is lost."""
        both = Connections(
            WiredConnection(url, name=self._name),
            WiredConnection(url, name=f"{self._name} publishing"),
        )
        try:
            await self._reach(both)
            version = self._check(both.taking)
            for topology in self._topologies:
                await amqp.declare(both.taking, topology, self._timeout)
            # What comes may last for ever, and a library may have lost the word to end.
            end_if_cancelled()
            self.connections = both
            self._up.set()
            self.tried.set()
            self._comeback.began()
            log.info("broker connected", host=url.host, vhost=url.path, version=version)
            cause = await _lost(both)
            log.warning("broker connection lost", host=url.host, cause=repr(cause))
        finally:
            self.connections = None
            self._up.clear()
            await asyncio.gather(_end(both.taking), _end(both.giving))

    async def _reach(self, both: Connections) -> None:
        self._missed += 1
        if self._missed > len(self._nodes):
            self.reached_at = None
        async with asyncio.timeout(self._timeout):
            await both.taking.connect()
            await both.giving.connect()
        self._missed = 0
        if self.reached_at is None:
            self.reached_at = asyncio.get_running_loop().time()

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


def nodes_of(urls: str) -> list[URL]:
    """The URLs of a comma-separated list, each with a heartbeat. A comma within a password stays where it is.

    Raises:
        BadUrl: One of them is no such URL.
    """
    nodes = []
    for number, text in enumerate(re.split(r",\s*(?=amqps?://)", urls.strip()), start=1):
        try:
            url = URL(text.strip())
            usable = url.scheme in ("amqp", "amqps") and bool(url.host)
        except ValueError:
            usable = False
        if not usable:
            raise BadUrl(
                f"AMQP_URL: number {number} of its URLs is not `amqp://user:password@host:port/vhost`."
            )
        if "heartbeat" not in url.query:
            url = url.update_query(heartbeat=_HEARTBEAT_SECONDS)
        nodes.append(url)
    return nodes


async def _lost(both: Connections) -> BaseException | None:
    """Returns when one of the connections is lost, with what the cause was."""
    closing = []
    for connection in (both.taking, both.giving):
        assert connection.transport is not None
        closing.append(connection.transport.connection.closing)
    done, _ = await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
    [lost, *_] = done
    return None if lost.cancelled() else lost.exception()


async def _end(connection: WiredConnection) -> None:
    """Closes a connection, in whatever state it is."""
    try:
        await amqp.close_quietly(connection)
    finally:
        # A server that does not answer the goodbye.
        connection.abort()
        # One that could not say goodbye counts as open, and would try again wherever it is collected. Without a
        # transport it is closed at once.
        await connection.close()


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
