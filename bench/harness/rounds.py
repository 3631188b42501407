"""Systems measured by turns: in each round, at every level of load, every one has its turn."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from rich.console import Console

from bench.harness.processes import BrokenSystem, Running, Usage
from bench.harness.system import Load, System, base_environment
from localmesh.paths import checkout

LIMIT_SECONDS = 120.0
"""How much longer than asked a load generator may take."""


@dataclass(frozen=True, slots=True)
class Level:
    """How hard a system is pressed.

    Attributes:
        name: In tables and results.
        in_flight: Calls at once.
        of: A level before it in the round, of whose throughput a `share` is asked for, calls evenly spaced; None: as
            much as so many callers get.
        share: Which.
    """

    name: str
    in_flight: int
    of: str | None = None
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes.

    Attributes:
        rounds: How many.
        seconds: Of each turn.
        warm_up: Seconds before it, each time.
        first_warm_up: Seconds of load before the first round, for each system.
    """

    rounds: int = 5
    seconds: float = 4.0
    warm_up: float = 0.5
    first_warm_up: float = 4.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One system at one level, once.

    Attributes:
        load: What the load generator says.
        cpu_ms: Role to milliseconds of the processor per call that succeeded, in the measured time; the generator's
            own is `load`.
        others_cpu: What all other systems of the run took meanwhile, as a share of one core.
        strangers_cpu: What the rest of the machine took, in the same unit: with much of it the times on the clock are
            worth little.
    """

    load: Load
    cpu_ms: Mapping[str, float]
    others_cpu: float
    strangers_cpu: float


@dataclass(slots=True)
class Results:
    """Turns by system and level, one a round."""

    turns: dict[tuple[str, str], list[Turn]] = field(default_factory=dict)

    def of(self, system: str, level: str) -> Sequence[Turn]:
        """The turns of one system at one level, in the order of the rounds."""
        return self.turns[system, level]


async def run(
    systems: Sequence[System],
    levels: Sequence[Level],
    plan: Plan,
    *,
    ids: Path,
    logs: Path,
    shared: Mapping[str, Sequence[int]],
) -> Results:
    """Starts all, measures by turns, ends all. What has no turn is idle.

    Args:
        systems: In the order of the first round; the next one begins with the second system, and so on.
        levels: In the order of each round.
        plan: How long.
        ids: The file of ids to ask for.
        logs: A folder for what the processes say.
        shared: Role to process ids of the servers that all share.

    Raises:
        BrokenSystem: One did not start, ended, or answered nothing at all.
    """
    results = Results()
    async with AsyncExitStack() as stack:
        running = []
        for system in systems:
            one = Running(system, logs)
            stack.push_async_callback(one.stop)
            await one.start()
            running.append(one)
        bench = _Bench(running, ids, shared)
        for one in running:
            await bench.turn(one, 16, plan.first_warm_up, 0)
        for number in range(plan.rounds):
            first = number % len(running)
            # Those that are compared come right after each other: the machine may change in a while.
            for level in levels:
                for one in (*running[first:], *running[:first]):
                    rate = None
                    if level.of is not None:
                        before = results.of(one.system.name, level.of)[-1]
                        rate = before.load.jobs_per_s * level.share
                    turn = await bench.turn(one, level.in_flight, plan.seconds, plan.warm_up, rate)
                    key = (one.system.name, level.name)
                    results.turns.setdefault(key, []).append(turn)
                    _say(number, key, turn)
    return results


@dataclass(frozen=True, slots=True)
class _Usage:
    """Seconds of the processor so far: by role of what is measured, of other systems, of all there is."""

    own: Mapping[str, float]
    others: float
    machine: float


class _Bench:
    def __init__(
        self, running: Sequence[Running], ids: Path, shared: Mapping[str, Sequence[int]]
    ) -> None:
        self._running = running
        self._ids = ids
        self._shared = shared
        # Each turn goes on where that system's last one ended: what it keeps of its answers then does not help it now.
        self._asked: dict[str, int] = {}

    async def turn(
        self,
        one: Running,
        in_flight: int,
        seconds: float,
        warm_up: float,
        rate: float | None = None,
    ) -> Turn:
        """Runs the load generator once."""
        system = one.system
        argv = [*system.load, "--in-flight", str(in_flight), "--seconds", str(seconds)]
        argv += ["--warm-up", str(warm_up), "--ids", str(self._ids)]
        if system.protocol == "grpc":
            argv += ["--first", str(self._asked.get(system.name, 0))]
        if rate is not None:
            argv += ["--rate", str(rate)]
        extra = await system.load_env() if system.load_env else {}
        generator = await asyncio.create_subprocess_exec(
            *argv,
            env={**base_environment(), **extra},
            cwd=checkout(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert generator.stdout is not None
        try:
            async with asyncio.timeout(LIMIT_SECONDS + seconds + warm_up):
                if (await generator.stdout.readline()).strip() != b"begin":
                    raise BrokenSystem(f"{system.name}: its load generator did not begin")
                began, before = perf_counter(), self._usage(one)
                said = await generator.stdout.readline()
                took, after = perf_counter() - began, self._usage(one)
                await generator.wait()
        except TimeoutError:
            raise BrokenSystem(f"{system.name}: its calls do not end") from None
        finally:
            if generator.returncode is None:
                generator.kill()
                await generator.wait()
        one.check()
        if not said:
            raise BrokenSystem(f"{system.name}: its load generator said nothing")
        load = Load(**json.loads(said))
        asked = load.calls + load.errors + round(load.jobs_per_s * warm_up)
        self._asked[system.name] = self._asked.get(system.name, 0) + asked
        if not load.calls:
            raise BrokenSystem(f"{system.name}: no call succeeded")
        used = {role: now - before.own.get(role, 0) for role, now in after.own.items()}
        others = after.others - before.others
        known = sum(used.values()) + others + load.cpu_ms * load.calls / 1000
        return Turn(
            load,
            {role: seconds * 1000 / load.calls for role, seconds in used.items()},
            others / took,
            max(after.machine - before.machine - known, 0) / took,
        )

    def _usage(self, measured: Running) -> _Usage:
        usage = Usage()
        roles = {**measured.pids(), **self._shared}
        # A process of two systems counts as measured.
        own = {pid for pids in roles.values() for pid in pids}
        others = {pid for one in self._running for pids in one.pids().values() for pid in pids}
        return _Usage(
            {role: usage.of(pids) for role, pids in roles.items()},
            usage.of(others - own),
            usage.machine,
        )


def _say(number: int, key: tuple[str, str], turn: Turn) -> None:
    """How it goes, to whoever waits."""
    load = turn.load
    Console(file=sys.stderr, highlight=False).print(
        f"round {number + 1}  {key[0]:>20} at {key[1]:<8} {load.jobs_per_s:8.1f} jobs/s"
        f"  p50 {load.p50_ms:7.2f} ms  p99 {load.p99_ms:7.2f} ms  errors {load.errors}"
    )
