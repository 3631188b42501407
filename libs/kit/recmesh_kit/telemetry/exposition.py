"""The metrics over HTTP, on a thread of their own: a scrape is answered while the event loop is busy."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    make_wsgi_app,
)

from recmesh_kit.telemetry.errors import MetricsUnavailable

log = structlog.get_logger()

_SILENT_SECONDS = 30.0
_LOOK_SECONDS = 0.1
"""Between two looks whether it is to end. By default half a second, in which a process that stops waits for nothing."""


@asynccontextmanager
async def exposed(
    registry: CollectorRegistry, listen: str, *, share_port: bool = False
) -> AsyncIterator[str]:
    """Serves the metrics of a registry, and those of the process, as long as the block lasts.

    Args:
        registry: What is served, under any path.
        listen: `host:port`; an IPv6 host in brackets; port 0 for one that is free.
        share_port: Whether another process may listen there, too. Either then answers.

    Yields:
        The address, with the port that it has.

    Raises:
        MetricsUnavailable: The address cannot be listened on.
    """
    host, _, port = listen.rpartition(":")
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    try:
        server = _Server(host.strip("[]"), int(port), share_port)
    except OSError as error:
        raise MetricsUnavailable(listen, error.strerror or str(error)) from error
    server.set_app(make_wsgi_app(registry))
    serving = partial(server.serve_forever, _LOOK_SECONDS)
    thread = threading.Thread(target=serving, name="metrics", daemon=True)
    thread.start()
    address = f"{host}:{server.server_port}"
    log.info("metrics", address=address)
    try:
        yield address
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, share_port: bool) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, (first, *_) = found[0]
        self.allow_reuse_port = share_port
        super().__init__((str(first), port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Of a peer that went away, or was too slow: a line instead of a stack on stderr."""
        log.info("scrape failed", error=repr(sys.exc_info()[1]))


class _Handler(WSGIRequestHandler):
    # Of each look at the socket: who says nothing does not keep a thread.
    timeout = _SILENT_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Scrapes are not logged."""
