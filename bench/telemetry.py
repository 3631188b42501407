"""`make bench-telemetry`: what metrics and traces cost.

Two meshes (one recommender, one worker each, on servers of their own) take turns in one run: one with both off, and one
that takes metrics, which are scraped every five seconds, and exports the traces that are sampled by default to a
collector on this machine. Promised, of the medians over the rounds: with both, at least 95 % of the throughput at 64
calls in flight, and no call fails. The load generator is a process of its own; the collector and the scrapes are this
one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import uvloop
from rich.console import Console

from bench.harness import ours, promises, report, results
from bench.harness.data import Data, make
from bench.harness.processes import BrokenSystem
from bench.harness.promises import Promise
from bench.harness.rounds import Level, Plan, Results, run
from bench.harness.servers import Servers
from bench.harness.statistics import Spread, ratios
from bench.harness.system import System
from localmesh.environment import ADMIN_EMAIL
from localmesh.paths import checkout
from localmesh.ports import Ports, address
from recmesh_client import AsyncClient, Password, Targets
from recmesh_kit.telemetry.testing import Collector, collecting, scrape, total

OFF, ON = "off", "on"
FULL = Level("64", 64)
LEAST_THROUGHPUT = 0.95
SCRAPE_SECONDS = 5.0
START_SECONDS = 600.0
OWN = ("server", "worker")
"""The roles whose processor time is compared."""


class Scrapes:
    """Scrapes a mesh as Prometheus would.

    Args:
        addresses: Of its programs' metrics.
    """

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self.calls = 0.0
        """Calls that the last scrapes have told of."""

    async def run(self) -> None:
        """Scrapes again and again."""
        while True:
            found = [await asyncio.to_thread(scrape, one) for one in self._addresses]
            self.calls = sum(
                total(metrics, "recmesh_grpc_call_seconds_count", method="Recommend")
                for metrics in found
            )
            await asyncio.sleep(SCRAPE_SECONDS)


@asynccontextmanager
async def mesh(root: Path, ports: Ports, settings: Mapping[str, str]) -> AsyncIterator[Servers]:
    """A mesh of its own, as long as the block lasts."""
    await asyncio.to_thread(root.mkdir, parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "localmesh", "--root", str(root)]
    left_out = ("DATABASE_URL", "AMQP_URL")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    env |= {"RECMESH_PORT_OFFSET": str(ports.offset), **settings}

    def call(*arguments: str) -> None:
        subprocess.run(  # noqa: S603 - a list, no shell
            [*argv, *arguments], check=True, env=env, timeout=START_SECONDS, stdout=sys.stderr
        )

    try:
        await asyncio.to_thread(call, "up")
        yield Servers.of(root)
    finally:
        await asyncio.to_thread(call, "down")


async def system(
    stack: AsyncExitStack, root: Path, ports: Ports, settings: Mapping[str, str], data: Data
) -> System:
    """A mesh as a system of the harness, called after its folder, with the items that all systems have."""
    servers = await stack.enter_async_context(mesh(root, ports, settings))
    targets = Targets(address(ports.auth), address(ports.catalog), address(ports.recommender))
    admin = Password(ADMIN_EMAIL, servers.admin_password)
    client = await stack.enter_async_context(AsyncClient.connect(targets, credentials=admin))
    await ours.seed(servers, client, data)
    await ours.rest(servers)
    made = ours.recommend(servers, client, targets.recommender, data)

    def running() -> dict[str, list[int]]:
        return servers.members(shared=False) | servers.members(shared=True)

    return replace(made, name=root.name, running=running)


async def main(plan: Plan, offset: int, local: Path) -> bool:
    """Measures and prints; says whether what is promised holds."""
    record = results.header("telemetry") | {"rounds": plan.rounds, "seconds": plan.seconds}
    data = make(local / "data")
    async with AsyncExitStack() as stack:
        collector = stack.enter_context(collecting())
        off, on = Ports(offset), Ports(offset + 50)
        systems = [
            await system(
                stack, local / "telemetry" / OFF, off, {"RECMESH_METRICS_LISTEN": "off"}, data
            ),
            await system(
                stack,
                local / "telemetry" / ON,
                on,
                {"RECMESH_OTLP_ENDPOINT": collector.endpoint},
                data,
            ),
        ]
        scrapes = Scrapes([address(port) for port in _metrics(on)])
        scraping = asyncio.create_task(scrapes.run(), name="scrapes")
        try:
            found = await run(
                systems, (FULL,), plan, ids=data.asked, logs=local / "logs", shared={}
            )
        finally:
            scraping.cancel()
            await asyncio.wait([scraping])
    _check(scraping, scrapes, collector)
    cpu = _cpu(found)
    promised = _promises(found)
    figures = report.all_figures(found)
    console = Console(width=180, highlight=False)
    console.print(report.table(figures))
    console.print(
        f"recommender and worker take {cpu.median - 1:+.1%} of the processor a job"
        f" ({cpu.least - 1:+.1%} to {cpu.most - 1:+.1%}); {len(collector.spans)} spans came"
    )
    for promise in promised:
        console.print(promise.sentence)
    record |= {
        **promises.figures(promised),
        "cpu_on_to_off": cpu.figures(3),
        "spans": len(collector.spans),
        "systems": figures,
    }
    results.keep(record, local / "results.jsonl")
    return all(one.holds for one in promised)


def _metrics(ports: Ports) -> tuple[int, ...]:
    services = (ports.auth_metrics, ports.catalog_metrics, ports.recommender_metrics)
    return (*services, ports.worker_metrics(0))


def _check(scraping: asyncio.Task[None], scrapes: Scrapes, collector: Collector) -> None:
    """What costs nothing because it does not work is no result.

    Raises:
        BrokenSystem: No metrics, or no spans, came of the mesh that has them on.
    """
    if not scraping.cancelled() and (error := scraping.exception()) is not None:
        raise BrokenSystem(f"the metrics cannot be scraped: {error!r}")
    if not scrapes.calls:
        raise BrokenSystem("the metrics tell of no call")
    if not collector.spans:
        raise BrokenSystem("no span was exported")


def _cpu(found: Results) -> Spread:
    """Processor time per job of recommender and worker, on beside off."""
    return ratios(
        *(
            [sum(turn.cpu_ms[role] for role in OWN) for turn in found.of(name, FULL.name)]
            for name in (ON, OFF)
        )
    )


def _promises(found: Results) -> list[Promise]:
    throughput = ratios(
        *([turn.load.jobs_per_s for turn in found.of(name, FULL.name)] for name in (ON, OFF))
    )
    errors = sum(turn.load.errors for turns in found.turns.values() for turn in turns)
    return [
        Promise("throughput_on_to_off", throughput, LEAST_THROUGHPUT, at_least=True),
        Promise("errors", Spread.of([errors]), 0, at_least=False),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ours with metrics and traces, and without.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each turn")
    parser.add_argument("--offset", type=int, default=2000, help="of the first mesh's ports")
    parser.add_argument(
        "--root",
        type=Path,
        default=checkout(),
        help="where `.local` lies, with all that is written",
    )
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    try:
        held = uvloop.run(
            main(Plan(given.rounds, given.seconds), given.offset, given.root / ".local" / "bench")
        )
    except (BrokenSystem, subprocess.SubprocessError) as error:
        sys.exit(f"bench-telemetry: {error}")
    sys.exit(0 if held else 1)
