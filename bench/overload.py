"""`make bench-overload`: four times as many callers as the mesh has capacity for.

The capacity is what the mesh answers in a second to callers who call one after the other, enough of them that more get
no more. Then callers come four times as fast, whatever becomes of those before them, and after that the capacity is
measured anew. Promised: at least 90 % of the capacity is served meanwhile; each call that is not served is refused,
with RESOURCE_EXHAUSTED and a RetryInfo; and the memory of no process grows, but within a bound while callers come back
at once who are ever more.

All of it runs on the same cores, the callers too: they give way to the mesh (`nice`) and must still come on time, but
what they take is lost to it. So texts of a hundred words are asked for, each another: beside what one costs the
worker's encoder, a caller and a refusal cost little. `--kind item` and `title` ask for what costs the mesh hardly more
than a caller costs the benchmark: only on a machine with cores to spare is that fair, too.

Callers go away when they are refused (`once`, of which the promise is); then some come back when they are told to
(`patient`), and at last some who come back at once (`hasty`). Then callers who do not read, and callers who go away
(`bench.overload_streams`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.harness import ours, promises, results
from bench.harness.calling import bearer
from bench.harness.census import look
from bench.harness.data import Data, make
from bench.harness.processes import BrokenSystem, Usage
from bench.harness.promises import Promise
from bench.harness.servers import NoMeshError, Servers
from bench.harness.settling import members, settled
from bench.harness.statistics import Spread
from bench.harness.system import base_environment
from bench.overload_load import REFUSED, SERVED, Ended
from bench.overload_streams import MOST_MB, Held, Streams
from localmesh.paths import checkout
from recmesh_client import AsyncClient, Password, Targets

LEAST_SERVED = 0.9
MOST_GROWTH = 1.1
"""Of a process's memory, from the first half of an overload to the second, ..."""
SLACK_MB = 8.0
"""... beside so much, that a small process may take for its buffers."""
LOOK_SECONDS = 1.0
SETTLE_SECONDS = 4.0
"""After which as many callers wait as may."""
WARM_UP_SECONDS = 1.0
REST_SECONDS = 600.0
_LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Plan:
    """How a run goes.

    Attributes:
        rounds: How many.
        seconds: Of each phase.
        times: How many times the capacity is offered.
        kind: What is asked for: `text`, `title` or `item`.
        in_flight: Callers by whom the capacity is measured.
        generators: Processes that the callers are spread over.
        timeout: A caller's patience. Seconds.
    """

    rounds: int = 3
    seconds: float = 15.0
    times: float = 4.0
    kind: str = "text"
    in_flight: int = 128
    generators: int = 2
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What a while of load has shown.

    Attributes:
        name: `capacity`, or who the callers were.
        seconds: How long.
        outcomes: How many calls ended how.
        offered: Callers that came in a second.
        served_ms, refused_ms: Median and 99th percentile, of the generator with the worst.
        late: Callers that the generators could not make.
        cpu: Role to share of a core; `load` are the generators.
        memory: Member to its memory in MB, look by look.
    """

    name: str
    seconds: float
    outcomes: Mapping[str, int]
    offered: float
    served_ms: tuple[float, float]
    refused_ms: tuple[float, float]
    late: int
    cpu: Mapping[str, float]
    memory: Mapping[str, list[float]]

    @property
    def served(self) -> float:
        """Jobs a second."""
        return self.outcomes.get(SERVED, 0) / self.seconds

    @property
    def others(self) -> dict[str, int]:
        """What became of calls that were neither served nor refused as they should be."""
        return {name: n for name, n in self.outcomes.items() if name not in (SERVED, REFUSED)}

    def growth(self) -> dict[str, float]:
        """Member to how many times its memory the second half has at most that the first had, `SLACK_MB` aside."""
        found = {}
        for name, seen in self.memory.items():
            half = len(seen) // 2
            if half:
                found[name] = max(seen[half:]) / (max(seen[:half]) + SLACK_MB)
        return found


class Bench:
    """Runs phases against a mesh.

    Args:
        servers: Of the mesh.
        client: Its admin.
        target: The recommender.
        data: What is asked for.
        plan: How.
    """

    def __init__(
        self, servers: Servers, client: AsyncClient, target: str, data: Data, plan: Plan
    ) -> None:
        self._servers = servers
        self._client = client
        self._target = target
        self._plan = plan
        self._seeds = data.folder / "overload.json"
        self._seeds.write_text(json.dumps(data.ids if plan.kind == "item" else data.titles))

    async def capacity(self) -> Phase:
        """What callers get who call one after the other."""
        load = ("--in-flight", str(max(1, self._plan.in_flight // self._plan.generators)))
        return await self._phase("capacity", load, WARM_UP_SECONDS)

    async def overload(self, callers: str, capacity: float) -> Phase:
        """What becomes of callers who come faster than that."""
        rate = self._plan.times * capacity / self._plan.generators
        return await self._phase(
            callers, ("--rate", str(rate), "--callers", callers), SETTLE_SECONDS
        )

    async def _phase(self, name: str, load: tuple[str, ...], settle: float) -> Phase:
        plan = self._plan
        argv = [sys.executable, "-m", "bench.overload_load", "--target", self._target, *load]
        argv += ["--kind", plan.kind, "--seeds", str(self._seeds), "--timeout", str(plan.timeout)]
        argv += ["--seconds", str(plan.seconds), "--warm-up", str(settle)]
        token = (await self._client.token()).access_token
        generators = [
            await asyncio.create_subprocess_exec(
                *argv,
                env={**base_environment(), "BENCH_TOKEN": token},
                cwd=checkout(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(plan.generators)
        ]
        try:
            async with asyncio.timeout(_LIMIT_SECONDS + settle + plan.seconds):
                for generator in generators:
                    assert generator.stdout is not None
                    if (await generator.stdout.readline()).strip() != b"begin":
                        raise BrokenSystem("a load generator did not begin")
                before, began = self._usage(), time.perf_counter()
                looking = asyncio.create_task(self._looks(), name="looks")
                said = []
                for generator in generators:
                    assert generator.stdout is not None
                    said.append(Ended(**json.loads(await generator.stdout.readline() or "{}")))
                took = time.perf_counter() - began
                after = self._usage()
                looking.cancel()
                await asyncio.wait([looking])
                for generator in generators:
                    await generator.wait()
        except (TimeoutError, TypeError):
            raise BrokenSystem("a load generator said nothing") from None
        finally:
            for generator in generators:
                if generator.returncode is None:
                    generator.kill()
                    await generator.wait()
        cpu = {role: (after[role] - before.get(role, 0)) / took for role in after}
        return Phase(
            name=name,
            seconds=sum(one.seconds for one in said) / len(said),
            outcomes=sum((Counter(one.outcomes) for one in said), Counter[str]()),
            offered=sum(one.came / one.seconds for one in said),
            served_ms=max(one.served_ms for one in said),
            refused_ms=max(one.refused_ms for one in said),
            late=sum(one.late for one in said),
            cpu={**cpu, "load": sum(one.cpu_s / one.seconds for one in said)},
            memory=self._memory,
        )

    async def _looks(self) -> None:
        """Looks at what all members hold, again and again, into `_memory`."""
        self._memory: dict[str, list[float]] = {}
        pids = {one.name: one.pid for one in members(self._servers.root) if one.pid}
        while True:
            found = await asyncio.to_thread(look, pids)
            for name, holding in found.items():
                self._memory.setdefault(name, []).append(holding.memory_mb)
            await asyncio.sleep(LOOK_SECONDS)

    def _usage(self) -> dict[str, float]:
        """Role to seconds of the processor so far."""
        usage = Usage()
        roles = self._servers.members(shared=False) | self._servers.members(shared=True)
        return {role: usage.of(pids) for role, pids in roles.items()}


async def main(servers: Servers, plan: Plan) -> bool:
    """Measures and prints; says whether what is promised holds."""
    record = results.header("overload") | {
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "times": plan.times,
        "kind": plan.kind,
    }
    data = make(servers.local / "data")
    targets = Targets.from_environment()
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    phases: list[Phase] = []
    shares: list[float] = []
    async with AsyncClient.connect(targets, credentials=admin) as client:
        await ours.seed(servers, client, data)
        await ours.rest(servers)
        bench = Bench(servers, client, targets.recommender, data, plan)

        async def run(callers: str = "", capacity: float = 0.0) -> Phase:
            phase = await (bench.overload(callers, capacity) if callers else bench.capacity())
            phases.append(phase)
            print(_line(phase), file=sys.stderr, flush=True)
            await settled(servers.root, REST_SECONDS)
            return phase

        before = await run()
        for _ in range(plan.rounds):
            pressed = await run("once", before.served)
            after = await run()
            shares.append(2 * pressed.served / (before.served + after.served))
            before = after
        for callers in ("patient", "hasty"):
            await run(callers, before.served)
        token = (await client.token()).access_token
        held = await Streams(servers, targets.recommender, bearer(token), data).run()
    found = [*promised(phases, shares), *streams_promised(held)]
    console = Console(width=180, highlight=False)
    console.print(_table(phases))
    for promise in found:
        console.print(promise.sentence)
    record |= {**promises.figures(found), **_figures(phases), "streams": held.figures()}
    results.keep(record, servers.local / "results.jsonl")
    return all(one.holds for one in found)


def promised(phases: Sequence[Phase], shares: Sequence[float]) -> list[Promise]:
    """What must hold.

    Args:
        phases: All.
        shares: What was served of the capacity, by rounds.
    """
    # The hasty are ever more while they come, and what they hold is bounded, not steady.
    steady = [phase for phase in phases if phase.name in ("once", "patient")]
    growth = [ratio for phase in steady for ratio in phase.growth().values()]
    crowds = [
        max(held) - min(held) for p in phases if p.name == "hasty" for held in p.memory.values()
    ]
    others = [sum(phase.others.values()) for phase in phases]
    return [
        Promise("served_of_capacity", Spread.of(shares), LEAST_SERVED, at_least=True),
        Promise("neither_served_nor_refused", Spread.of([sum(others)]), 0, at_least=False),
        # Callers that did not come make it no test.
        Promise("late", Spread.of([sum(phase.late for phase in phases)]), 0, at_least=False),
        Promise(
            "memory_growth", Spread.of([max(growth, default=1.0)]), MOST_GROWTH, at_least=False
        ),
        Promise("hasty_mb", Spread.of([max(crowds, default=0.0)]), MOST_MB, at_least=False),
    ]


def streams_promised(held: Held) -> list[Promise]:
    """What must hold of callers who do not read, or go away."""
    figures = {
        "streams_mb": (held.most_mb, MOST_MB),
        "streams_neither_served_nor_refused": (sum(held.others.values()), 0.0),
    }
    return [
        Promise(name, Spread.of([figure]), limit, at_least=False)
        for name, (figure, limit) in figures.items()
    ]


def _figures(phases: list[Phase]) -> dict[str, Any]:
    return {
        "phases": [
            {
                "name": phase.name,
                "offered_per_s": round(phase.offered, 1),
                "served_per_s": round(phase.served, 1),
                "refused_per_s": round(phase.outcomes.get(REFUSED, 0) / phase.seconds, 1),
                "others": phase.others,
                "served_ms": phase.served_ms,
                "refused_ms": phase.refused_ms,
                "late": phase.late,
                "cpu": {role: round(share, 2) for role, share in sorted(phase.cpu.items())},
                "memory_mb": {
                    name: [round(seen[0]), round(max(seen)), round(seen[-1])]
                    for name, seen in phase.memory.items()
                    if seen
                },
            }
            for phase in phases
        ]
    }


def _line(phase: Phase) -> str:
    return (
        f"{phase.name:>9}  {phase.offered:7.1f} came/s  {phase.served:7.1f} served/s"
        f"  {phase.outcomes.get(REFUSED, 0) / phase.seconds:7.1f} refused/s  others {phase.others}"
    )


def _table(phases: list[Phase]) -> Table:
    drawn = Table(
        *("callers", "came/s", "served/s", "p50 ms", "p99 ms", "refused/s", "p50 ms", "p99 ms"),
        *("others", "cores", "memory, MB"),
    )
    for phase in phases:
        drawn.add_row(
            *(phase.name, f"{phase.offered:.0f}", f"{phase.served:.1f}"),
            *(f"{ms:.0f}" for ms in phase.served_ms),
            f"{phase.outcomes.get(REFUSED, 0) / phase.seconds:.0f}",
            *(f"{ms:.0f}" for ms in phase.refused_ms),
            str(sum(phase.others.values())),
            ", ".join(f"{role} {share:.2f}" for role, share in sorted(phase.cpu.items())),
            ", ".join(
                f"{name} {seen[0]:.0f}-{max(seen):.0f}"
                for name, seen in phase.memory.items()
                if seen
            ),
        )
    return drawn


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Four times as much as there is capacity for.")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="of each phase")
    parser.add_argument("--times", type=float, default=Plan.times, help="of the capacity")
    parser.add_argument("--kind", choices=("text", "title", "item"), default=Plan.kind)
    parser.add_argument("--in-flight", type=int, default=Plan.in_flight)
    parser.add_argument("--generators", type=int, default=Plan.generators)
    parser.add_argument("--timeout", type=float, default=Plan.timeout, help="of a call")
    parser.add_argument("--root", type=Path, help="where the mesh's .local lies")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    chosen = {name: value for name, value in vars(given).items() if name != "root"}
    try:
        held = uvloop.run(main(Servers.of(given.root), Plan(**chosen)))
    except (BrokenSystem, NoMeshError) as error:
        sys.exit(f"bench-overload: {error}")
    sys.exit(0 if held else 1)
