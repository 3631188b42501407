"""`make bench-e2e`: `Recommend`, and `CreateRecommendation` with `WatchRecommendation`, beside the floor.

The mesh (one recommender, one worker) and the floor take turns in one run, on the same PostgreSQL and RabbitMQ, with
the same 10,000 items, asked for items by their ids. The load generator is a process of its own on the same machine:
`load` in the figures of processor time. Each turn asks for other items than the one before, so that
what the mesh keeps of its answers does not help it.

Promised, of medians over the rounds: at 64 calls in flight three quarters of the floor's throughput, in both shapes;
one call alone takes at most one and a half times as long; at half of that load the 99th percentile is at most four
times the median; no call fails; and a call by the SDK takes at most 15 % longer than the same by the generated stub.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.floor import systems as floor
from bench.harness import ours, promises, report, results
from bench.harness.data import make
from bench.harness.processes import BrokenSystem
from bench.harness.promises import Promise
from bench.harness.rounds import Level, Plan, Results, run
from bench.harness.servers import NoMeshError, Servers
from bench.harness.statistics import Spread, ratios
from bench.overhead import MOST, Overhead, measure
from recmesh_client import AsyncClient, Password, Targets

ALONE, FEW, FULL, HALF = "1", "16", "64", "half"
LEVELS = (
    Level(ALONE, 1),
    Level(FEW, 16),
    Level(FULL, 64),
    Level(HALF, 256, of=FULL, share=0.5),
)
WATCH_LEVELS = (Level(ALONE, 1), Level(FULL, 64))
LEAST_THROUGHPUT = 0.75
MOST_ALONE = 1.5
MOST_TAIL = 4.0


async def main(servers: Servers, plan: Plan, *, overhead: bool) -> bool:
    """Measures and prints; says whether what is promised holds."""
    record = results.header("e2e") | {"rounds": plan.rounds, "seconds": plan.seconds}
    data = make(servers.local / "data")
    targets = Targets.from_environment()
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    overheads: list[Overhead] = []
    async with AsyncClient.connect(targets, credentials=admin) as client:
        await ours.seed(servers, client, data)
        await ours.rest(servers)
        pairs = (
            (
                await floor.floor(servers, data),
                ours.recommend(servers, client, targets.recommender, data),
            ),
            (
                await floor.floor_watch(servers, data),
                ours.create_watch(servers, client, targets.recommender, data),
            ),
        )
        found = Results()
        for systems, levels in zip(pairs, (LEVELS, WATCH_LEVELS), strict=True):
            turns = await run(
                systems,
                levels,
                plan,
                ids=data.asked,
                logs=servers.local / "logs",
                shared=servers.members(shared=True),
            )
            found.turns |= turns.turns
        if overhead:
            overheads = await measure(client, targets, data.ids)
    promised = [*_promises(found), *_sdk(overheads)]
    figures = report.all_figures(found)
    _print(report.table(figures), overheads, promised)
    record |= {
        **promises.figures(promised),
        "cpu_to_floor": _cpu(found).figures(3),
        "levels": figures,
        **{f"sdk_{one.call}": one.figures() for one in overheads},
    }
    results.keep(record, servers.local / "results.jsonl")
    return all(one.holds for one in promised)


def _promises(found: Results) -> list[Promise]:
    """Of the mesh, beside the floor and by itself."""

    def of(system: str, level: str, figure: str) -> list[float]:
        return [getattr(turn.load, figure) for turn in found.of(system, level)]

    def beside(figure: str, level: str, mesh: str, least: str) -> Spread:
        return ratios(of(mesh, level, figure), of(least, level, figure))

    watch = (ours.WATCH_NAME, floor.WATCH_NAME)
    tail = ratios(of(ours.NAME, HALF, "p99_ms"), of(ours.NAME, HALF, "p50_ms"))
    errors = [
        turn.load.errors
        for (system, _), turns in found.turns.items()
        for turn in turns
        if system in (ours.NAME, ours.WATCH_NAME)
    ]
    return [
        Promise(
            "throughput_to_floor",
            beside("jobs_per_s", FULL, ours.NAME, floor.NAME),
            LEAST_THROUGHPUT,
            at_least=True,
        ),
        Promise(
            "p50_alone_to_floor",
            beside("p50_ms", ALONE, ours.NAME, floor.NAME),
            MOST_ALONE,
            at_least=False,
        ),
        Promise("p99_to_p50_at_half_load", tail, MOST_TAIL, at_least=False),
        Promise(
            "create_watch_throughput_to_floor",
            beside("jobs_per_s", FULL, *watch),
            LEAST_THROUGHPUT,
            at_least=True,
        ),
        Promise("errors", Spread.of([sum(errors)]), 0, at_least=False),
    ]


def _cpu(found: Results) -> Spread:
    """At 64 calls in flight, processor time per call of all processes but the load generator, beside the floor's."""
    return ratios(
        *(
            [sum(turn.cpu_ms.values()) for turn in found.of(name, FULL)]
            for name in (ours.NAME, floor.NAME)
        )
    )


def _sdk(overheads: Sequence[Overhead]) -> list[Promise]:
    return [
        Promise(f"sdk_{one.call}_to_stub", Spread.of([one.p50]), MOST, at_least=False)
        for one in overheads
    ]


def _print(found: Table, overheads: Sequence[Overhead], promised: Sequence[Promise]) -> None:
    console = Console(width=180, highlight=False)
    console.print(found)
    if overheads:
        added = Table(
            *("one call", "SDK p50 ms", "stub p50 ms", "more", "SDK CPU ms", "stub CPU ms", "more")
        )
        for one in overheads:
            added.add_row(
                one.call,
                *(f"{one.sdk.ms:.2f}", f"{one.stub.ms:.2f}", f"{one.p50 - 1:+.1%}"),
                *(f"{one.sdk.cpu_ms:.3f}", f"{one.stub.cpu_ms:.3f}", f"{one.cpu - 1:+.1%}"),
            )
        console.print(added)
    for promise in promised:
        console.print(promise.sentence)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The mesh beside the floor, end to end.")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each system at each level")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each turn")
    parser.add_argument("--root", type=Path, help="where the mesh's .local lies")
    parser.add_argument("--no-sdk", action="store_true", help="leave out what the SDK adds")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    try:
        held = uvloop.run(
            main(
                Servers.of(given.root),
                Plan(given.rounds, given.seconds),
                overhead=not given.no_sdk,
            )
        )
    except (BrokenSystem, NoMeshError) as error:
        sys.exit(f"bench-e2e: {error}")
    sys.exit(0 if held else 1)
