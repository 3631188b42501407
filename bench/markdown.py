"""`python -m bench.markdown`: the latest results of benchmarks as Markdown, for a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.harness.results import Record, default_file, latest


def page(record: Record) -> str:
    """When, where and how; what was promised; a line for each system and level.

    Args:
        record: Of a benchmark with `levels`, as `bench.harness.report.all_figures` gives them, and perhaps `promises`,
            as `bench.harness.promises.figures` gives them.
    """
    about = (
        f"`{record['command']}`, {record['date']}, {record['machine']}, {record['cores']} cores, "
        f"load average {record['load_average']:g} before."
    )
    parts = [about, _table(*_systems(record))]
    if "promises" in record:
        parts.insert(1, _table(*_promises(record)))
    return "\n\n".join(parts)


def _promises(record: Record) -> Iterator[Sequence[str]]:
    yield "promised", "limit", "median", "least", "most", "holds"
    for name, one in record["promises"].items():
        figures = (f"{value:.2f}" for value in one["figure"])
        yield name, f"{one['limit']:g}", *figures, "yes" if one["holds"] else "**no**"


def _systems(record: Record) -> Iterator[Sequence[str]]:
    yield (
        *("system", "in flight", "jobs/s (least to most)", "p50 ms", "p99 ms", "errors"),
        *("CPU ms a call", "of these"),
    )
    for system, levels in record["levels"].items():
        for level, one in levels.items():
            rate, least, most = one["jobs_per_s"]
            cpu = one["cpu_ms"]
            yield (
                *(system, level, f"{rate:.0f} ({least:.0f} to {most:.0f})"),
                *(f"{one['p50_ms'][0]:.1f}", f"{one['p99_ms'][0]:.1f}", str(one["errors"])),
                f"{sum(cpu.values()):.2f}",
                ", ".join(f"{role} {value:.2f}" for role, value in cpu.items()),
            )


def _table(head: Sequence[str], *rows: Sequence[str]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The latest results, as Markdown.")
    parser.add_argument("--results", type=Path, default=default_file(), help="a file of results")
    parser.add_argument("benchmark", nargs="?", default="e2e")
    arguments = parser.parse_args()
    record = latest(arguments.results).get(arguments.benchmark)
    if record is None:
        sys.exit(f"no results of {arguments.benchmark} in {arguments.results}")
    print(page(record))
