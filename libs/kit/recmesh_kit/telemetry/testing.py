"""For tests: a collector of traces, and metrics as they are served."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

SCRAPE_SECONDS = 30.0
Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Values by name and labels."""


class Collector(pb_grpc.TraceServiceServicer):
    """Takes spans over OTLP and keeps them.

    Attributes:
        endpoint: What exporters are told.
        spans: What has come, each with the name of its service.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[tuple[str, Span]] = []

    def Export(  # noqa: N802 - the contract's name
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        """Keeps some spans."""
        for resource in request.resource_spans:
            service = values(resource.resource)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [(str(service), span) for span in scope.spans]
        return pb.ExportTraceServiceResponse()

    def trace(self, trace_id: str) -> list[tuple[str, Span]]:
        """The spans of a trace, each with the name of its service."""
        return [found for found in self.spans if found[1].trace_id.hex() == trace_id]


@contextmanager
def collecting(address: str = "127.0.0.1:0") -> Iterator[Collector]:
    """A collector that listens as long as the block lasts."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    add: Any = pb_grpc.add_TraceServiceServicer_to_server
    add(collector, server)
    host = address.rpartition(":")[0]
    collector.endpoint = f"http://{host}:{server.add_insecure_port(address)}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


def values(described: object) -> dict[str, object]:
    """The attributes of a span or resource."""
    found: dict[str, object] = {}
    for attribute in getattr(described, "attributes", ()):
        found[attribute.key] = getattr(attribute.value, attribute.value.WhichOneof("value"))
    return found


def scrape(address: str) -> Metrics:
    """The metrics that are served at `host:port`."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=SCRAPE_SECONDS) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(metrics: Metrics, name: str, **labels: str) -> float:
    """The sum of a metric's values over all that have these labels."""
    wanted = set(labels.items())
    return sum(value for (found, has), value in metrics.items() if found == name and wanted <= has)
