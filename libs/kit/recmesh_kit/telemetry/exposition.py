"""The metrics over HTTP, on a thread of their own: a scrape is answered while the event loop is busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from recmesh_kit.telemetry.errors import MetricsUnavailable

log = structlog.get_logger()


@asynccontextmanager
async def exposed(registry: CollectorRegistry, listen: str) -> AsyncIterator[str]:
    """Serves the metrics of a registry, and those of the process, as long as the block lasts.

    Args:
        registry: What is served, under any path.
        listen: `host:port`; an IPv6 host in brackets; port 0 for one that is free.

    Yields:
        The address, with the port that it has.

    Raises:
        MetricsUnavailable: The address cannot be listened on.
    """
    host, _, port = listen.rpartition(":")
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise MetricsUnavailable(listen, error.strerror or str(error)) from error
    address = f"{host}:{server.server_port}"
    log.info("metrics", address=address)
    try:
        yield address
    finally:
        # It ends within half a second.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
