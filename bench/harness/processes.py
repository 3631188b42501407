"""Programs that a benchmark starts, and what they take of the processor."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic

import psutil

from bench.harness.system import Process, System, base_environment
from localmesh.children import launcher
from localmesh.paths import checkout

READY_SECONDS = 120.0
_POLL_SECONDS = 0.1
_STOP_SECONDS = 15.0
_TAIL_BYTES = 2000


class BrokenSystem(Exception):
    """A system does not do what it should; the text says which one, and what its log ends with."""


class Usage:
    """What each process of the machine has taken of the processor, looked at once. Seconds."""

    def __init__(self) -> None:
        times = psutil.cpu_times()
        self.machine = float(
            sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
        )
        """All there is, and what its host has kept from it."""
        self._taken: dict[int, float] = {}
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        for process in psutil.process_iter(["ppid", "cpu_times"]):
            # Children that have ended are in their parent's times once they are reaped.
            self._taken[process.pid] = sum((process.info["cpu_times"] or ())[:4])
            self._children[process.info["ppid"]].append(process.pid)

    def of(self, pids: Iterable[int]) -> float:
        """Of these processes and their children."""
        family: set[int] = set()
        found = list(pids)
        while found:
            pid = found.pop()
            if pid not in family:
                family.add(pid)
                found += self._children.get(pid, ())
        return sum(self._taken.get(pid, 0.0) for pid in family)


class Running:
    """A system whose processes run.

    Args:
        system: What is started.
        logs: A folder; each process writes to `<system>-<role>-<number>.log`.
    """

    def __init__(self, system: System, logs: Path) -> None:
        self.system = system
        self._logs = logs
        self._started: list[tuple[Process, subprocess.Popen[bytes], Path]] = []

    async def start(self) -> None:
        """Prepares, starts, and returns when the system is ready.

        Raises:
            BrokenSystem: A program failed, or it took too long.
        """
        for number, process in enumerate(self.system.prepare):
            child, log = self._spawn(process, f"prepare-{number}")
            if await asyncio.to_thread(child.wait, READY_SECONDS):
                raise BrokenSystem(f"{self.system.name}: {process.argv} failed{_tail(log)}")
        for number, process in enumerate(self.system.processes):
            self._started.append((process, *self._spawn(process, f"{process.role}-{number}")))
        until = monotonic() + READY_SECONDS
        while not await self.system.ready():
            self.check()
            if monotonic() > until:
                tails = "".join(_tail(log) for _, _, log in self._started)
                raise BrokenSystem(f"{self.system.name} is not ready{tails}")
            await asyncio.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raises BrokenSystem when a process has ended."""
        for process, child, log in self._started:
            if child.poll() is not None:
                raise BrokenSystem(
                    f"{self.system.name}: its {process.role} ended with {child.returncode}{_tail(log)}"
                )

    async def stop(self) -> None:
        """Ends what was started, the last first."""
        for _, child, _ in reversed(self._started):
            await asyncio.to_thread(_end, child)
        self._started.clear()

    def pids(self) -> Mapping[str, list[int]]:
        """Role to process ids, without those of their children."""
        found = {role: list(pids) for role, pids in self.system.running().items()}
        for process, child, _ in self._started:
            found.setdefault(process.role, []).append(child.pid)
        return found

    def _spawn(self, process: Process, name: str) -> tuple[subprocess.Popen[bytes], Path]:
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{self.system.name}-{name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(  # noqa: S603 - a list, no shell
                # It never outlives the benchmark, however that ends.
                [*launcher(signal.SIGTERM, "keep"), *process.argv],
                env={**base_environment(), **process.env},
                cwd=checkout(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return child, log


def _end(child: subprocess.Popen[bytes]) -> None:
    """Asks it to stop; then ends it and what is left of its children."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        child.terminate()
        _, left = psutil.wait_procs(family, _STOP_SECONDS)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    child.wait()


def _tail(log: Path) -> str:
    text = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
    return f"\n--- {log}\n{text}" if text else f"; {log} is empty"
