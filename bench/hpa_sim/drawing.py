"""Runs as pictures: replicas, what waits and for how long, what is shipped beside the usual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, StrMethodFormatter

from bench.hpa_sim.figures import BUCKET_SECONDS, by_time
from bench.hpa_sim.simulate import Floats, Run
from bench.plots import STYLE

_POINTS = 480
"""Most that a line has."""
_OFFERED, _ASKED, _WORKING, _WAITING = "#b0b0b0", "#3b6ea5", "#e08a2e", "#a8577e"
_LEGEND: dict[str, Any] = {"frameon": False, "ncols": 3, "loc": "outside lower center"}


def draw(name: str, runs: Mapping[str, Run], folder: Path) -> Path:
    """Draws runs of one curve side by side into `hpa-{name}.svg`, and returns the file. The same runs make the same
    bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({**STYLE, "figure.constrained_layout.wspace": 0.06}):
        figure = Figure(figsize=(4.2 * len(runs), 5.4))
        table: Any = figure.subplots(3, len(runs), sharex=True, sharey="row", squeeze=False)
        for column, (title, run) in enumerate(runs.items()):
            _column(table[:, column], title, run)
        table[0, 0].set_ylabel("workers")
        table[0, 0].yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        table[1, 0].set_ylabel("jobs that wait")
        table[1, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        table[2, 0].set_ylabel("waited, s (p99)")
        figure.legend(*table[0, 0].get_legend_handles_labels(), **_LEGEND)
        file = folder / f"hpa-{name}.svg"
        figure.savefig(file, metadata={"Date": None})
    return file


def _column(axes: list[Axes], title: str, run: Run) -> None:
    unit, word, apart = (3600, "hours", 4) if run.curve.seconds > 2 * 3600 else (60, "minutes", 10)
    at = np.array(run.at) / unit
    thin = max(1, len(at) // _POINTS)
    replicas, waiting, waited = axes
    replicas.set_title(title, fontsize=9)
    replicas.fill_between(at[::thin], run.offered[::thin], color=_OFFERED, label="work that comes")
    replicas.step(at[::thin], run.replicas[::thin], where="post", color=_ASKED, label="asked for")
    replicas.step(
        at[::thin], run.working[::thin], where="post", color=_WORKING, label="at work", lw=0.9
    )
    waiting.plot(*_greatest(at, np.array(run.waiting), thin), color=_WAITING)
    ends, found = by_time(run, 0.99)
    spans = max(1, round(thin * np.median(np.diff(run.at)) / BUCKET_SECONDS))
    waited.plot(*_greatest(ends / unit, found, spans), color=_WAITING)
    waited.set_xlabel(word)
    waited.set_xlim(0, run.curve.seconds / unit)
    waited.xaxis.set_major_locator(MultipleLocator(apart))


def _greatest(at: Floats, values: Floats, thin: int) -> tuple[Floats, Floats]:
    """The greatest of each `thin` values: a line that leaves no peak out."""
    whole = len(values) // thin * thin
    return at[:whole:thin], values[:whole].reshape(-1, thin).max(axis=1)
