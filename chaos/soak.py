"""`make soak`: whether a mesh that works for a while holds as much afterwards as before.

It measures for a few seconds how many calls of a mixed kind the mesh ends, then asks for half as many, evenly spaced,
for a quarter of an hour: recommendations awaited, watched, left, cancelled, continued and in batches, reads, items and
interactions. Meanwhile it looks at every process again and again. It fails when

- the memory of a process rises: the line through the second half of its looks, by least squares, drawn out over the
  length of the run, means 5 % more and 4 MB more, and is steeper than three of its standard errors
  (`bench.harness.trend`). Memory is what a process has for itself, of PostgreSQL and RabbitMQ that of all their
  processes together. RabbitMQ keeps what is in its log in memory, too, and drops both from time to time: it has leave
  to rise by 64 MB.
- a process has more threads, open files, connections to PostgreSQL or RabbitMQ, channels or tasks at rest afterwards
  than at rest before, by more than two and 5 %, and had at work, too;
- a process was another one for a while;
- a job that was accepted has no end, or a call failed.

It ends with one line of JSON. Needs a mesh that runs: `python -m localmesh exec --workers 2 -- python -m chaos.soak`.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench.harness import ours, promises, results
from bench.harness.data import Data, make
from bench.harness.processes import BrokenSystem
from bench.harness.promises import Promise
from bench.harness.servers import NoMeshError, Servers
from bench.harness.settling import settled
from bench.harness.statistics import Spread
from bench.harness.trend import LEAST_MB
from chaos.measure import COUNTS, Measure, Series
from chaos.soak_work import Work
from recmesh_client import AsyncClient, Password, Targets
from recmesh_jobs.states import State

CALLERS = 48
"""By whom the capacity is measured."""
LOOKS = 240
"""In a run, at most one in `LOOK_SECONDS`."""
LOOK_SECONDS = 0.5
REST_SECONDS = 300.0
"""How long jobs may take to end after the last call."""
LEAVE_MB = {"rabbitmq": 64.0}
"""By how much the memory of some may rise in a run; of all others by `bench.harness.trend.LEAST_MB`. In RabbitMQ 16 MB
of its log (`raft.wal_max_size_bytes` of the local mesh) take about 30 MB, once for each node."""
_AUDIT_CHUNK = 10_000
_CONNECT_SECONDS = 30.0
_HOUR = 3600.0
_STATES = "SELECT state, count(*) FROM recommender.jobs WHERE id = ANY($1) GROUP BY state"


@dataclass(frozen=True)
class Plan:
    """How a run goes.

    Attributes:
        seconds: Under load.
        load: Of the capacity.
        warm_up: Seconds in which the capacity is measured, after as many that are not counted.
        seed: What is asked for is drawn from it.
    """

    seconds: float = 900.0
    load: float = 0.5
    warm_up: float = 10.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of the jobs that were accepted.

    Attributes:
        accepted: How many.
        states: How many of them are in which state.
    """

    accepted: int
    states: Mapping[State, int]

    @property
    def lost(self) -> int:
        """Those without a row, or without an end."""
        return self.accepted - sum(n for state, n in self.states.items() if state.ended)


@dataclass(frozen=True, slots=True)
class Soak:
    """What a run has shown.

    Attributes:
        capacity: Calls in a second.
        rate: The same that were asked for.
        done, errors: Calls by what they were.
        skipped: Calls that did not begin, as too many were on the way.
        audit: Of the jobs.
        series: Of the members.
    """

    capacity: float
    rate: float
    done: Mapping[str, int]
    errors: Mapping[str, int]
    skipped: int
    audit: Audit
    series: Mapping[str, Series]

    def leaks(self) -> list[str]:
        """The members whose memory rises."""
        return [
            name
            for name, one in self.series.items()
            if one.leaks(LEAVE_MB.get(name.partition("-")[0], LEAST_MB))
        ]

    def grown(self) -> list[str]:
        """What has grown, with whose it is."""
        return [f"{name} {what}" for name, one in self.series.items() for what in one.grown()]

    def promised(self) -> list[Promise]:
        """What must hold."""
        figures = {
            "lost": self.audit.lost,
            "errors": sum(self.errors.values()) + self.skipped,
            "leaks": len(self.leaks()),
            "grown": len(self.grown()),
            "restarted": sum(one.restarted for one in self.series.values()),
        }
        return [
            Promise(name, Spread.of([figure]), 0, at_least=False)
            for name, figure in figures.items()
        ]


async def soak(servers: Servers, client: AsyncClient, data: Data, plan: Plan) -> Soak:
    """Runs a soak against a mesh.

    Args:
        servers: Of the mesh.
        client: Its admin.
        data: The items that are asked about.
        plan: How.

    Raises:
        BrokenSystem: The mesh does not come to rest.
    """
    await ours.seed(servers, client, data)
    work, measure = Work(client, data, plan.seed), Measure(servers.root)
    await work.keep(CALLERS, plan.warm_up)
    capacity = await work.keep(CALLERS, plan.warm_up)
    rate = capacity * plan.load
    await settled(servers.root, REST_SECONDS)
    await measure.begin()
    _say(f"{capacity:.0f} calls/s are what it can do; {rate:.0f} for {plan.seconds:.0f} s")
    work.done.clear()
    looking = asyncio.create_task(
        measure.keep(max(LOOK_SECONDS, plan.seconds / LOOKS)), name="looks"
    )
    try:
        await work.come(rate, plan.seconds)
    finally:
        looking.cancel()
        await asyncio.wait([looking])
    if not looking.cancelled():
        looking.result()
    await settled(servers.root, REST_SECONDS)
    await measure.end()
    return Soak(
        capacity=capacity,
        rate=rate,
        done=work.done,
        errors=work.errors,
        skipped=work.skipped,
        audit=await audit(servers.admin_url, work.accepted),
        series=measure.series,
    )


async def audit(database_url: str, accepted: Collection[UUID]) -> Audit:
    """How the rows of these jobs stand.

    Args:
        database_url: Of somebody who may read them.
        accepted: Their ids.
    """
    ids, states = list(accepted), Counter[State]()
    connection = await asyncpg.connect(database_url, timeout=_CONNECT_SECONDS)
    try:
        for start in range(0, len(ids), _AUDIT_CHUNK):
            for state, jobs in await connection.fetch(_STATES, ids[start : start + _AUDIT_CHUNK]):
                states[State(state)] += jobs
    finally:
        await connection.close()
    return Audit(len(ids), states)


def figures(found: Soak, plan: Plan) -> dict[str, object]:
    """For a line of JSON."""
    return {
        "seconds": plan.seconds,
        "load": plan.load,
        "capacity_per_s": round(found.capacity, 1),
        "rate_per_s": round(found.rate, 1),
        "accepted": found.audit.accepted,
        **{state.name.lower(): found.audit.states.get(state, 0) for state in State if state.ended},
        "lost": found.audit.lost,
        "calls": dict(found.done),
        "errors": dict(found.errors),
        "skipped": found.skipped,
        "members": {name: one.figures() for name, one in found.series.items()},
        "leaks": found.leaks(),
        "grown": found.grown(),
    }


def table(found: Soak) -> Table:
    """A line for each member: memory under load, its slope, and counts at rest before and after."""
    drawn = Table("member", "memory, MB", "MB/hour", "± error", *COUNTS)
    for name, one in found.series.items():
        after = one.after.counts if one.after else {}
        rises, counts = one.memory, one.before.counts
        drawn.add_row(
            name,
            f"{one.looks[0].memory_mb:.1f} to {one.looks[-1].memory_mb:.1f}",
            f"{rises.per_second * _HOUR:+.1f}",
            f"{rises.error * _HOUR:.1f}",
            *(
                f"{counts[what]:.0f} to {after.get(what, math.nan):.0f}" if what in counts else ""
                for what in COUNTS
            ),
        )
    return drawn


async def main(servers: Servers, plan: Plan) -> bool:
    """Runs and prints; says whether what is promised holds."""
    record = results.header("soak")
    record["command"] = record["command"].replace("bench.soak", "chaos.soak")
    data = make(servers.local / "data")
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    async with AsyncClient.connect(Targets.from_environment(), credentials=admin) as client:
        await ours.rest(servers)
        found = await soak(servers, client, data, plan)
    promised = found.promised()
    console = Console(width=150, highlight=False)
    console.print(table(found))
    for promise in promised:
        console.print(promise.sentence)
    record |= {**promises.figures(promised), **figures(found, plan)}
    results.keep(record, servers.local / "results.jsonl")
    return all(one.holds for one in promised)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Steady load, and whether anything grows.")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="under load")
    parser.add_argument("--load", type=float, default=Plan.load, help="share of the capacity")
    parser.add_argument("--warm-up", type=float, default=Plan.warm_up, help="seconds")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of what is asked")
    parser.add_argument("--root", type=Path, help="where the mesh's .local lies")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    chosen = {name: value for name, value in vars(given).items() if name != "root"}
    try:
        held = uvloop.run(main(Servers.of(given.root), Plan(**chosen)))
    except (BrokenSystem, NoMeshError) as error:
        sys.exit(f"soak: {error}")
    sys.exit(0 if held else 1)
