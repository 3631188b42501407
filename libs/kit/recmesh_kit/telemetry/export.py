"""Spans to a collector, over OTLP. OpenTelemetry's SDK is imported here alone, and only when traces are exported."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog
from opentelemetry.trace import Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = structlog.get_logger()

EXPORT_SECONDS = 5.0
"""Limit of one export, repeats included."""
FLUSH_SECONDS = 3.0
"""How long what is left has at the end."""


@asynccontextmanager
async def exporting(service: str, endpoint: str) -> AsyncIterator[Tracer]:
    """A tracer whose spans are exported in the background, as long as the block lasts. A collector that is away costs
    the spans, and nothing else: they wait in a queue of two thousand, and what is too many is dropped.

    Args:
        service: Name of the service.
        endpoint: `http://host:port` of the collector's OTLP over gRPC; `https` with TLS.
    """
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

    # It logs every repeat; `_Quiet` says once what there is to say.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(
        endpoint=endpoint, insecure=not endpoint.startswith("https:"), timeout=EXPORT_SECONDS
    )
    provider = TracerProvider(
        # Whether a trace begins here is decided before a span is made: see `Tracing`.
        sampler=ParentBased(ALWAYS_ON),
        resource=Resource.create({SERVICE_NAME: service}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(_quiet(exporter, endpoint)))
    log.info("traces", endpoint=endpoint)
    try:
        yield provider.get_tracer("recmesh")
    finally:
        await _within(FLUSH_SECONDS, provider.shutdown)


async def _within(seconds: float, work: object) -> None:
    """Runs work on a thread that may be left behind: it must not hold up the end of the process."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        assert callable(work)
        work()
        with suppress(RuntimeError):  # The loop has ended meanwhile.
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="flush-traces", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        log.warning("the last traces were not exported")


def _quiet(exporter: SpanExporter, endpoint: str) -> SpanExporter:
    """The same exporter, that says once that it fails, and once that it works again."""
    from opentelemetry.sdk.trace.export import SpanExporter as Base
    from opentelemetry.sdk.trace.export import SpanExportResult as Result

    class Quiet(Base):
        failing = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = exporter.export(spans)
            failing = result is not Result.SUCCESS
            if failing and not self.failing:
                log.warning("traces cannot be exported", endpoint=endpoint)
            elif self.failing and not failing:
                log.info("traces are exported again", endpoint=endpoint)
            self.failing = failing
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return exporter.force_flush(timeout_millis)

    return Quiet()
