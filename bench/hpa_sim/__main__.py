"""`python -m bench.hpa_sim`, or `make hpa-sim`: the worker's autoscaler over load curves.

What is shipped (deploy/k8s/components/queue-hpa: target, bounds, behaviour, the metric's numbers) is read from there
and played to a step, a spike, a day, an import and loads that do not change, by the HPA's published formula and with
what was measured of a worker; then other numbers are, for comparison. Pictures go to `docs/plots/hpa-*.svg`.

Promised, of what is shipped: after a step to two and a half times the capacity that is there the 99th percentile of the
waiting time is below a second within two minutes; over a day, of which no minute is like the other, it always is,
nobody is refused, and workers turn from coming to going or back a dozen times at the most; under loads that do not
change they do so once, after the beginning; none is taken away while more than a second's work waits for those that are
left; and an import is done within ten minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.harness import promises
from bench.harness.promises import Promise
from bench.harness.statistics import Spread
from bench.hpa_sim import shipped
from bench.hpa_sim.candidates import COUNTED, PEAK, SHIPPED, candidates, columns, counted, outcome
from bench.hpa_sim.curves import Curve, catalog_import, day, spike, steady, step
from bench.hpa_sim.drawing import draw
from bench.hpa_sim.figures import Figures, figures
from bench.hpa_sim.simulate import Run, simulate
from bench.hpa_sim.world import World
from localmesh.paths import checkout

MESSAGES = 200
"""Of an import: 100,000 items."""
LOADS = tuple(half / 2 for half in range(1, 18))
"""That do not change: 0.5 to 8.5 workers' work."""
SEEDS = (1, 2)
DAYS = (1, 2, 3)
"""Seeds."""


def main(world: World, plots: Path | None, *, compare: bool) -> bool:
    """Plays, prints, draws; says whether what is promised holds."""
    shape, demand = shipped.shape(), shipped.demand()

    def play(curve: Curve, seed: int = 1) -> Run:
        return simulate(curve, shape, demand, world, seed)

    curves = (step(PEAK), spike(PEAK), day(PEAK))
    runs = {curve.name: play(curve) for curve in curves}
    found = {name: figures(run, world) for name, run in runs.items()}
    imported = play(catalog_import(MESSAGES))
    days = [found["day"], *(figures(play(day(PEAK), seed), world) for seed in DAYS[1:])]
    still = [figures(play(steady(load), seed), world) for load in LOADS for seed in SEEDS]
    kept = [
        _promise("step_calm_after_s", [found["step"].calm_after], 120),
        _promise("day_p99_s", [max(one.p99 for one in days)], 1),
        _promise("day_refused", [max(one.refused for one in days)], 0),
        _promise("day_turns", [max(one.turns for one in days)], 12),
        _promise("steady_turns", [max(one.turns for one in still)], 1),
        _promise(
            "left_behind_s", [max(one.left_behind for one in (*found.values(), *days, *still))], 1
        ),
        _promise("import_done_after_s", [_import_seconds(imported)], 600),
    ]
    console = Console(width=140)
    if compare:
        console.print(_comparison(world))
    for one in kept:
        console.print(one.sentence, highlight=False)
    if plots is not None:
        usual = counted(shape, 1000)
        for curve in curves:
            beside = {
                f"{SHIPPED}": runs[curve.name],
                COUNTED: simulate(curve, *usual, world),
            }
            console.print(str(draw(curve.name, beside, plots)), highlight=False)
    print(json.dumps(_summary(world, found, figures(imported, world), kept)))
    return all(one.holds for one in kept)


def _promise(name: str, values: list[float], most: float) -> Promise:
    return Promise(name, Spread.of(values), most, at_least=False)


def _import_seconds(run: Run) -> float:
    """From the import until its last message is done; infinite when that is not so at the end."""
    if run.changes.waiting:
        return float("inf")
    return max(at for at, _, _ in run.changes.waits) - run.curve.change_at


def _comparison(world: World) -> Table:
    table = Table("", title=f"curves with up to {PEAK:g} workers' work")
    for candidate in candidates(shipped.shape(), shipped.demand()):
        row = columns(outcome(candidate, world))
        if not table.rows:
            for name in row:
                table.add_column(name, justify="right")
        table.add_row(candidate.name, *row.values())
    return table


def _summary(
    world: World, found: dict[str, Figures], imported: Figures, kept: list[Promise]
) -> dict[str, object]:
    told = {**found, "import": imported}
    return {
        "benchmark": "hpa-sim",
        "target": shipped.shape().target,
        "replicas": [shipped.shape().least, shipped.shape().most],
        "world": asdict(world),
        **{
            name: {key: round(value, 3) for key, value in asdict(one).items()}
            for name, one in told.items()
        },
        **promises.figures(kept),
    }


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The worker's autoscaler over load curves.")
    parser.add_argument("--plots", type=Path, default=checkout() / "docs" / "plots")
    parser.add_argument("--no-plots", dest="plots", action="store_const", const=None)
    parser.add_argument("--no-comparison", action="store_true", help="only what is shipped")
    for one in fields(World):
        said = f"{one.metadata['help'].replace('%', '%%')} (default: {one.default:g})"
        option = f"--{one.name.replace('_', '-')}"
        parser.add_argument(option, type=type(one.default), default=one.default, help=said)
    return parser


if __name__ == "__main__":
    given = _arguments().parse_args()
    known = World(**{one.name: getattr(given, one.name) for one in fields(World)})
    sys.exit(0 if main(known, given.plots, compare=not given.no_comparison) else 1)
