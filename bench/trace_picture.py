"""`python -m bench.trace_picture`: one trace of a `Recommend`, drawn into `docs/plots/trace.svg`.

A mesh of its own sends its traces to this program. Of several calls, made when the recommender has to ask the catalog
service again, the one of median length is drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.harness.processes import BrokenSystem
from bench.plots import STYLE
from bench.telemetry import mesh
from demo.data import CATALOG, films
from demo.setup import import_films, wait_searchable
from localmesh.environment import ADMIN_EMAIL
from localmesh.paths import checkout
from localmesh.ports import Ports, address
from recmesh_client import AsyncClient, Password, Targets
from recmesh_kit.telemetry.testing import Collector, collecting
from recmesh_recommender.catalogs import FRESH_SECONDS

TEXT = "a heist inside a dream"
CALLS = 5
LAST = "publish replies"
"""The span that ends last but for the call itself."""
_CALL = "RecommenderService/Recommend"
_COLLECT_SECONDS = 60.0
_INDEX_SECONDS = 600.0
_COLOURS = {"recommender": "#3b6ea5", "worker": "#e08a2e", "catalog": "#5b9e6f", "auth": "#a8577e"}
_WIDTH_INCHES = 11.0
_HEAD_INCHES, _ROW_INCHES, _FOOT_INCHES = 0.7, 0.24, 0.5
_SERVICE_AT, _SPAN_AT, _FROM_AT, _BARS_AT = 0.012, 0.1, 0.495, 0.505
"""Columns, as parts of the width."""
_INDENT = 0.014


@dataclass(frozen=True, slots=True)
class Row:
    """A span in the picture.

    Attributes:
        service: Who did it.
        name: What.
        depth: How many spans it lies under.
        begin: Milliseconds from the beginning of the trace.
        length: Milliseconds.
    """

    service: str
    name: str
    depth: int
    begin: float
    length: float


def waterfall(spans: Iterable[tuple[str, Span]]) -> list[Row]:
    """The spans of one trace, each below the one that it belongs to, in the order in which they begin.

    Args:
        spans: Each with the name of its service.
    """
    under: defaultdict[bytes, list[tuple[str, Span]]] = defaultdict(list)
    found = sorted(spans, key=lambda one: one[1].start_time_unix_nano)
    ids = {span.span_id for _, span in found}
    for service, span in found:
        under[span.parent_span_id if span.parent_span_id in ids else b""].append((service, span))
    begin = found[0][1].start_time_unix_nano

    def rows(parent: bytes, depth: int) -> Iterator[Row]:
        for service, span in under[parent]:
            yield Row(
                service=service.removeprefix("recmesh_"),
                name=_short(span.name),
                depth=depth,
                begin=(span.start_time_unix_nano - begin) / 1e6,
                length=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
            )
            yield from rows(span.span_id, depth + 1)

    return list(rows(b"", 0))


def draw(rows: Sequence[Row], file: Path, title: str) -> None:
    """Draws them: who did what, from when on and for how long."""
    with mpl.rc_context(STYLE | {"figure.constrained_layout.use": False}):
        height = _HEAD_INCHES + _ROW_INCHES * len(rows) + _FOOT_INCHES
        figure = Figure(figsize=(_WIDTH_INCHES, height))
        bars = (_BARS_AT, _FOOT_INCHES / height, 0.985 - _BARS_AT, _ROW_INCHES * len(rows) / height)
        axes = figure.add_axes(bars)
        end = max(row.begin + row.length for row in rows)
        axes.set_xlim(0, end * 1.06)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks([])
        axes.xaxis.grid(visible=True, color="#e4e4e4")
        axes.set_xlabel("ms from the beginning of the call; at each bar how long it took")
        columns = blended_transform_factory(figure.transFigure, axes.transData)

        def tell(at: float, place: float, text: str, **how: Any) -> None:
            axes.text(at, place, text, transform=columns, va="center", fontsize=8.5, **how)

        for at, text, side in ((_SERVICE_AT, "service", "left"), (_SPAN_AT, "span", "left")):
            tell(at, -1, text, weight="bold", ha=side)
        tell(_FROM_AT, -1, "from, ms", weight="bold", ha="right")
        for place, row in enumerate(rows):
            colour = _COLOURS[row.service]
            # What takes no time at all is to be seen, too.
            axes.barh(place, max(row.length, end / 500), 0.68, row.begin, color=colour)
            label, beside = f"{row.length:.1f}", (row.begin + row.length, place)
            axes.annotate(
                label, beside, (4, 0), textcoords="offset points", va="center", fontsize=8
            )
            tell(_SERVICE_AT, place, row.service, color=colour)
            tell(_SPAN_AT + _INDENT * row.depth, place, row.name)
            tell(_FROM_AT, place, f"{row.begin:.1f}", ha="right", color="#555555")
        figure.text(_SERVICE_AT, 1 - 0.22 / height, title, va="center", fontsize=10)
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


async def record(stack: AsyncExitStack, root: Path, ports: Ports) -> list[list[tuple[str, Span]]]:
    """Has a mesh recommend, and returns the traces of that.

    Raises:
        BrokenSystem: The spans do not come.
    """
    collector = stack.enter_context(collecting())
    settings = {"RECMESH_OTLP_ENDPOINT": collector.endpoint, "RECMESH_TRACE_SAMPLE_RATIO": "0"}
    servers = await stack.enter_async_context(mesh(root, ports, settings))
    headers: dict[str, str] = {}
    client = await stack.enter_async_context(
        AsyncClient.connect(
            Targets(address(ports.auth), address(ports.catalog), address(ports.recommender)),
            credentials=Password(ADMIN_EMAIL, servers.admin_password),
            headers=lambda: headers,
        )
    )
    await import_films(client, films())
    await wait_searchable(client, _INDEX_SECONDS)
    for _ in range(100):
        await client.recommend(CATALOG, text=TEXT)
    traces = []
    for _ in range(CALLS):
        # From then on the catalog is asked for again.
        await asyncio.sleep(FRESH_SECONDS)
        trace_id = secrets.token_hex(16)
        headers["traceparent"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        await client.recommend(CATALOG, text=TEXT)
        headers.clear()
        traces.append(await _whole(collector, trace_id))
    return traces


async def _whole(collector: Collector, trace_id: str) -> list[tuple[str, Span]]:
    wanted = {_CALL, LAST, "CatalogService/GetCatalog"}
    try:
        async with asyncio.timeout(_COLLECT_SECONDS):
            while True:
                spans = collector.trace(trace_id)
                if wanted <= {_short(span.name) for _, span in spans}:
                    break
                await asyncio.sleep(0.1)
            # Those of one process come together; of the others nobody knows how many there are.
            await asyncio.sleep(FRESH_SECONDS)
    except TimeoutError:
        raise BrokenSystem("not all spans of the call came") from None
    return collector.trace(trace_id)


def _length(trace: Iterable[tuple[str, Span]]) -> int:
    [call] = (span for _, span in trace if _short(span.name) == _CALL)
    return call.end_time_unix_nano - call.start_time_unix_nano


def _short(name: str) -> str:
    """Without the package of a service."""
    return name.rpartition(".")[2] if "/" in name else name


async def main(file: Path, root: Path, ports: Ports) -> None:
    """Records and draws."""
    async with AsyncExitStack() as stack:
        traces = sorted(await record(stack, root, ports), key=_length)
    draw(waterfall(traces[len(traces) // 2]), file, f"Recommend, by the text “{TEXT}”")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A picture of the trace of one Recommend.")
    parser.add_argument("--out", type=Path, default=checkout() / "docs" / "plots" / "trace.svg")
    parser.add_argument("--offset", type=int, default=-30_000, help="of the mesh's ports")
    parser.add_argument("--root", type=Path, default=checkout() / ".local" / "bench" / "trace")
    given = parser.parse_args()
    try:
        asyncio.run(main(given.out, given.root, Ports(given.offset)))
    except BrokenSystem as error:
        sys.exit(f"trace_picture: {error}")
    print(given.out)
