"""`make bench-peers`: the mesh, the floor and four home-made services, by turns in one run on the same servers.

Each does the same: accepts a job, stores it, sends it through a durable queue, ranks ten of 10,000 items, stores the
result and answers the caller. Promised of the mesh at 64 calls in flight, of medians over the rounds: 75 % of the
throughput of the floor, twice that of the best peer and five times that of the one whose worker takes one message at a
time; and no call of any of them fails.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from bench.floor import systems as floor
from bench.harness import ours, promises, report, results
from bench.harness.data import make
from bench.harness.processes import BrokenSystem
from bench.harness.promises import Promise
from bench.harness.rounds import Level, Plan, Results, run
from bench.harness.servers import NoMeshError, Servers
from bench.harness.statistics import Spread
from bench.peers import ratios
from bench.peers.sanity import over_grpc
from bench.peers.systems import NAMES, ONE_AT_A_TIME, PYTHON, peers
from recmesh_client import AsyncClient, Password, Targets

ALONE, FULL = "1", "64"
LEVELS = (Level(ALONE, 1), Level(FULL, 64))


async def main(servers: Servers, plan: Plan, python: Path) -> bool:
    """Measures and prints; says whether what is promised holds."""
    record = results.header("peers") | {"rounds": plan.rounds, "seconds": plan.seconds}
    data = make(servers.local / "data")
    targets = Targets.from_environment()
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    async with AsyncClient.connect(targets, credentials=admin) as client:
        await ours.seed(servers, client, data)
        await ours.rest(servers)
        mesh = ours.recommend(servers, client, targets.recommender, data)
        found = await run(
            [
                over_grpc(mesh, data, centred=True),
                over_grpc(await floor.floor(servers, data), data, centred=False),
                *await peers(servers, data, python),
            ],
            LEVELS,
            plan,
            ids=data.asked,
            logs=servers.local / "logs",
            shared=servers.members(shared=True),
        )
    promised, throughput = _promises(found), _throughput(found)
    figures = report.all_figures(found)
    console = Console(width=180, highlight=False)
    console.print(report.table(figures))
    for one in promised:
        console.print(one.sentence)
    record |= {
        **{one.name: round(one.spread.median, 3) for one in promised if one.name in ratios.LEAST},
        "best_peer": ratios.best(throughput, NAMES),
        **promises.figures(promised),
        "systems": {name: _brief(levels) for name, levels in figures.items()},
        "levels": figures,
    }
    results.keep(record, servers.local / "results.jsonl")
    return all(one.holds for one in promised)


def _throughput(found: Results) -> ratios.Throughput:
    return {
        system: [turn.load.jobs_per_s for turn in turns]
        for (system, level), turns in found.turns.items()
        if level == FULL
    }


def _promises(found: Results) -> list[Promise]:
    errors = sum(turn.load.errors for turns in found.turns.values() for turn in turns)
    return [
        *ratios.promises(
            _throughput(found),
            ours=ours.NAME,
            floor=floor.NAME,
            one_at_a_time=ONE_AT_A_TIME,
            peers=NAMES,
        ),
        Promise("errors", Spread.of([errors]), 0, at_least=False),
    ]


def _brief(levels: dict[str, report.Figures]) -> dict[str, float]:
    """Medians at 64 in flight, and of one call alone."""
    full = levels[FULL]
    return {
        **{name: full[name][0] for name in ("jobs_per_s", "p50_ms", "p99_ms")},
        "alone_p50_ms": levels[ALONE]["p50_ms"][0],
        "load_cpu_ms": full["cpu_ms"]["load"],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The mesh beside the floor and its peers.")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each system at each level")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each turn")
    parser.add_argument("--root", type=Path, help="where the mesh's .local lies")
    parser.add_argument("--python", type=Path, default=PYTHON, help="of the peers' environment")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    if not given.python.exists():
        sys.exit(f"bench-peers: {given.python} is missing; `make bench-peers` makes it")
    try:
        held = uvloop.run(
            main(Servers.of(given.root), Plan(given.rounds, given.seconds), given.python)
        )
    except (BrokenSystem, NoMeshError) as error:
        sys.exit(f"bench-peers: {error}")
    sys.exit(0 if held else 1)
