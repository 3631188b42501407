"""`python -m bench.plots`: the latest results of benchmarks with systems, drawn into `docs/plots`.

The same results make the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.harness.report import Figures
from bench.harness.results import Record, default_file, latest
from localmesh.paths import checkout

Systems = Mapping[str, Mapping[str, Figures]]
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "recmesh",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}
_ROLES = {
    "load": "#b0b0b0",
    "server": "#3b6ea5",
    "worker": "#e08a2e",
    "postgres": "#5b9e6f",
    "rabbitmq": "#a8577e",
    "other": "#8c8c3c",
}
_LEGEND: dict[str, Any] = {
    "frameon": False,
    "ncols": 4,
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
}
_WIDTH = 0.8
"""Of the bars of one group."""


def draw(records: Mapping[str, Record], folder: Path) -> list[Path]:
    """Draws what there are results of, and returns the files."""
    drawn = []
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, record in records.items():
            for kind, (paint, height) in _KINDS.items():
                if "levels" not in record:
                    continue
                figure = Figure(figsize=(7.5, height))
                paint(figure.subplots(), record["levels"])
                file = folder / f"{name}-{kind}.svg"
                figure.savefig(file, metadata={"Date": None})
                drawn.append(file)
    return drawn


def _throughput(axes: Axes, systems: Systems) -> None:
    """Jobs per second by level, with the least and the most over the rounds."""
    _bars(axes, systems, "jobs_per_s")
    axes.set_ylabel("jobs per second")


def _latency(axes: Axes, systems: Systems) -> None:
    """The median by level, and a mark at the 99th percentile."""
    places = _bars(axes, systems, "p50_ms")
    tails = [systems[system][level]["p99_ms"][0] for system, level in places]
    axes.plot(list(places.values()), tails, "_k", markersize=11, label="99th percentile")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("latency, ms (median)")
    axes.legend(**_LEGEND)


def _cpu(axes: Axes, systems: Systems) -> None:
    """Processor time per call by role, a bar for each system and level."""
    labels = [(system, level) for system, levels in systems.items() for level in levels]
    left = [0.0] * len(labels)
    for role, colour in _ROLES.items():
        values = [systems[system][level]["cpu_ms"].get(role, 0.0) for system, level in labels]
        if any(values):
            names = [f"{system}, {level}" for system, level in labels]
            axes.barh(names, values, left=left, color=colour, label=role)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("processor time per call, ms")
    axes.legend(**_LEGEND)


_KINDS: Mapping[str, tuple[Callable[[Axes, Systems], None], float]] = {
    "throughput": (_throughput, 3.4),
    "latency": (_latency, 3.4),
    "cpu": (_cpu, 4.2),
}


def _bars(axes: Axes, systems: Systems, figure: str) -> dict[tuple[str, str], float]:
    """A group of bars for each level, one for each system; system and level to the middle of the bar."""
    levels = list(_unique(level for one in systems.values() for level in one))
    width = _WIDTH / len(systems)
    places: dict[tuple[str, str], float] = {}
    for system, found in systems.items():
        mine = [level for level in levels if level in found]
        at = []
        for level in mine:
            group = [name for name, one in systems.items() if level in one]
            place = group.index(system) + 0.5 - len(group) / 2
            at.append(levels.index(level) + place * width)
        middle, least, most = zip(*(found[level][figure] for level in mine), strict=True)
        spread = (
            [m - low for m, low in zip(middle, least, strict=True)],
            [high - m for m, high in zip(middle, most, strict=True)],
        )
        axes.bar(at, middle, width * 0.92, yerr=spread, ecolor="#555555", label=system)
        places |= {(system, level): place for level, place in zip(mine, at, strict=True)}
    axes.set_xticks(range(len(levels)), [_named(level) for level in levels])
    axes.legend(**_LEGEND)
    return places


def _unique(values: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(values)


def _named(level: str) -> str:
    return (
        f"{level} in flight" if level.isdecimal() else f"{level} load" if level == "half" else level
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Plots of the latest results.")
    parser.add_argument("--results", type=Path, default=default_file(), help="a file of results")
    parser.add_argument("--out", type=Path, default=checkout() / "docs" / "plots")
    arguments = parser.parse_args()
    files = draw(latest(arguments.results), arguments.out)
    for path in files:
        print(path)
    sys.exit(0 if files else f"nothing to draw in {arguments.results}")
