"""Results of benchmarks: one JSON object a run, on a line of standard output and at the end of a file."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localmesh.paths import checkout

Record = Mapping[str, Any]
"""With `benchmark` (its name), `date`, `machine`, `cores`, `load_average` (of a minute), `command`, and what was
found."""


def default_file() -> Path:
    """The results of this checkout, one JSON object a line, the latest last."""
    return checkout() / ".local" / "bench" / "results.jsonl"


def header(benchmark: str) -> dict[str, Any]:
    """What a record begins with: when, where and how. Taken at the start: the load is that of others then."""
    module = f"bench.{benchmark}"
    return {
        "benchmark": benchmark,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "machine": f"{_cpu_model()}, {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "command": shlex.join(("python", "-m", module, *sys.argv[1:])),
    }


def keep(record: Record, file: Path) -> None:
    """Prints a record and appends it to a file of results."""
    line = json.dumps(record)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as results:
        results.write(f"{line}\n")
    print(line)


def latest(file: Path) -> dict[str, Record]:
    """Benchmark to its latest record; empty without a file."""
    if not file.exists():
        return {}
    records = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {record["benchmark"]: record for record in records}


def _cpu_model() -> str:
    """As Linux names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown processor"
