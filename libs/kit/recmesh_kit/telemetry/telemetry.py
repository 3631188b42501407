"""What a process is looked at by: its metrics and its traces, put together from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from recmesh_kit.settings import METRICS_OFF, ServiceSettings
from recmesh_kit.tasks import Background
from recmesh_kit.telemetry import lag
from recmesh_kit.telemetry.calls import CallObserver
from recmesh_kit.telemetry.export import exporting
from recmesh_kit.telemetry.exposition import exposed
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_kit.telemetry.pools import PoolCollector
from recmesh_kit.telemetry.sql import trace_statements
from recmesh_kit.telemetry.tracing import Tracing


class Telemetry:
    """Metrics and traces of one process; by default neither is recorded.

    Attributes:
        instruments: Makes metrics.
        tracing: Makes spans.
        calls: Sees the calls of the server.
    """

    def __init__(
        self, instruments: Instruments | None = None, tracing: Tracing | None = None
    ) -> None:
        self.instruments = instruments or Instruments()
        self.tracing = tracing or Tracing()
        self.calls = CallObserver(self.instruments, self.tracing)

    def watch_channels(self, read: Callable[[], float]) -> None:
        """Where to read how many channels are open to the broker. To be called once."""
        self.instruments.reading(
            "recmesh_broker_channels", "Channels that are open to the broker.", read
        )

    def watch(self, engines: Mapping[str, Engine]) -> None:
        """Has the connections of a database counted, and its statements traced. To be called once, before its use.

        Args:
            engines: Each with a pool of its own, by name.
        """
        pools = {
            name: engine.pool
            for name, engine in engines.items()
            if isinstance(engine.pool, QueuePool)
        }
        self.instruments.add(PoolCollector(pools))
        if self.tracing.tracer is not None:
            for engine in engines.values():
                trace_statements(engine, self.tracing.tracer)


@asynccontextmanager
async def telemetry_of(settings: ServiceSettings, name: str) -> AsyncIterator[Telemetry]:
    """The telemetry that the settings ask for. To be entered first, so that it sees the end of all else.

    Args:
        settings: Where the metrics are served, and the traces sent.
        name: How the traces call the service.

    Raises:
        MetricsUnavailable: The metrics cannot be served there.
    """
    async with AsyncExitStack() as stack:
        instruments = Instruments()
        if settings.metrics_listen != METRICS_OFF:
            registry = CollectorRegistry(auto_describe=True)
            await stack.enter_async_context(
                exposed(registry, settings.metrics_listen, share_port=settings.share_port)
            )
            instruments = Instruments(registry)
            background = await stack.enter_async_context(Background(limit=1))
            background.spawn("loop lag", lag.watch(instruments))
        tracer = None
        if settings.otlp_endpoint is not None:
            tracer = await stack.enter_async_context(exporting(name, settings.otlp_endpoint))
        yield Telemetry(instruments, Tracing(tracer, settings.trace_sample_ratio))
