"""What a run has found: medians and spreads as figures, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich.table import Table

from bench.harness.rounds import Results, Turn
from bench.harness.statistics import Spread

Figures = Mapping[str, Any]
"""Of one system at one level, over the rounds: `jobs_per_s`, `p50_ms` and `p99_ms` (median, least, most), `errors`
(sum), `cpu_ms` (role to median, per call; the load generator is `load`), `others_cpu` and `strangers_cpu` (medians,
shares of one core: see `Turn`)."""


def figures(turns: Sequence[Turn]) -> Figures:
    """Of one system at one level."""
    roles = sorted({role for turn in turns for role in turn.cpu_ms})
    return {
        "jobs_per_s": Spread.of([turn.load.jobs_per_s for turn in turns]).figures(1),
        "p50_ms": Spread.of([turn.load.p50_ms for turn in turns]).figures(),
        "p99_ms": Spread.of([turn.load.p99_ms for turn in turns]).figures(),
        "errors": sum(turn.load.errors for turn in turns),
        "cpu_ms": {
            "load": round(median(turn.load.cpu_ms for turn in turns), 3),
            **{
                role: round(median(turn.cpu_ms.get(role, 0) for turn in turns), 3) for role in roles
            },
        },
        "others_cpu": round(median(turn.others_cpu for turn in turns), 3),
        "strangers_cpu": round(median(turn.strangers_cpu for turn in turns), 3),
    }


def all_figures(results: Results) -> dict[str, dict[str, Figures]]:
    """System to level to figures."""
    found: dict[str, dict[str, Figures]] = {}
    for (system, level), turns in results.turns.items():
        found.setdefault(system, {})[level] = figures(turns)
    return found


def table(found: Mapping[str, Mapping[str, Figures]]) -> Table:
    """A line for each system and level: medians, the least and the most of the throughput, and processor time."""
    drawn = Table(
        *("system", "at", "jobs/s", "least", "most", "p50 ms", "p99 ms", "errors"),
        *("strangers' cores", "CPU ms a call", "of these"),
    )
    for system, levels in found.items():
        for level, one in levels.items():
            cpu = one["cpu_ms"]
            drawn.add_row(
                *(system, level, *(f"{value:g}" for value in one["jobs_per_s"])),
                *(f"{one['p50_ms'][0]:g}", f"{one['p99_ms'][0]:g}", str(one["errors"])),
                f"{one['strangers_cpu']:.2f}",
                f"{sum(cpu.values()):.2f}",
                ", ".join(f"{role} {value:.2f}" for role, value in cpu.items()),
            )
        drawn.add_section()
    return drawn
