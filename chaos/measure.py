"""What a mesh at work holds, looked at again and again: by members, as series, and whether any of it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness.census import look
from bench.harness.settling import members
from bench.harness.trend import LEAST_MB, Slope, floor, grew, slope
from localmesh.servers import kind
from recmesh_kit.telemetry.testing import scrape, total

COUNTS = ("threads", "files", "postgres", "rabbitmq", "channels", "tasks")
"""What must not grow: threads, open files, connections to either server, channels and tasks of the event loop."""
_GAUGES = {"channels": "recmesh_broker_channels", "tasks": "recmesh_event_loop_tasks"}
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Look:
    """How one member stood.

    Attributes:
        at: When, in seconds of a steady clock.
        pid: Its process.
        memory_mb: That it has for itself.
        counts: Of `COUNTS`, those that it has.
    """

    at: float
    pid: int
    memory_mb: float
    counts: Mapping[str, float]


@dataclass(slots=True)
class Series:
    """What a member has held.

    Attributes:
        before: At rest, before the load.
        looks: Under load.
        after: At rest, after it.
    """

    before: Look
    looks: list[Look] = field(default_factory=list)
    after: Look | None = None

    @property
    def memory(self) -> Slope:
        """How its memory rises in the second half of the load, when it is warm. Per second.

        Raises:
            ValueError: There are too few looks.
        """
        half = self.looks[len(self.looks) // 2 :]
        return slope(*floor([one.at for one in half], [one.memory_mb for one in half]))

    def leaks(self, least_mb: float = LEAST_MB) -> bool:
        """Whether its memory rises so that it could not go on: `bench.harness.trend` says from when on."""
        return self.memory.leaks(self.looks[-1].at - self.looks[0].at, least_mb)

    def grown(self) -> list[str]:
        """Which of `COUNTS` have grown."""
        after = self.after.counts if self.after else {}
        return [
            name
            for name, before in self.before.counts.items()
            if name in after
            and grew(
                [one.counts[name] for one in self.looks if name in one.counts],
                before=before,
                after=after[name],
            )
        ]

    @property
    def restarted(self) -> bool:
        """Whether it was another process for a while."""
        return any(one.pid != self.before.pid for one in (*self.looks, self.after) if one)

    def figures(self) -> dict[str, object]:
        """For a line of JSON: megabytes, megabytes an hour, and counts at rest before and after."""
        after = self.after.counts if self.after else {}
        rises = self.memory
        return {
            "memory_mb": [round(one.memory_mb, 1) for one in (self.looks[0], self.looks[-1])],
            "mb_per_hour": round(rises.per_second * _HOUR, 1),
            "error_mb_per_hour": round(rises.error * _HOUR, 1),
            **{name: [n, after.get(name)] for name, n in self.before.counts.items()},
        }


class Measure:
    """Looks at a mesh.

    Args:
        root: Where its `.local` lies.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.series: dict[str, Series] = {}
        """By member, from `begin` on."""

    async def begin(self) -> None:
        """Looks at a mesh at rest, before the load."""
        self.series = {name: Series(look) for name, look in (await self._look()).items()}

    async def keep(self, every: float) -> None:
        """Looks every so many seconds, until it is cancelled."""
        while True:
            began = time.monotonic()
            for name, found in (await self._look()).items():
                if name in self.series:
                    self.series[name].looks.append(found)
            await asyncio.sleep(max(0.0, began + every - time.monotonic()))

    async def end(self) -> None:
        """Looks at a mesh at rest, after the load."""
        for name, found in (await self._look()).items():
            if name in self.series:
                self.series[name].after = found

    async def _look(self) -> dict[str, Look]:
        return await asyncio.to_thread(self._look_now)

    def _look_now(self) -> dict[str, Look]:
        running = members(self._root)
        held = look({one.name: one.pid for one in running if one.pid is not None})
        found = {}
        for member in running:
            if member.name not in held or member.pid is None:
                continue
            holding = held[member.name]
            counts: dict[str, float] = {"threads": holding.threads, "files": holding.files}
            if member.metrics and kind(member.name) != "rabbitmq":
                counts |= holding.connections
                told = scrape(member.metrics)
                names = {name for name, _ in told}
                counts |= {
                    name: total(told, gauge) for name, gauge in _GAUGES.items() if gauge in names
                }
            kept = {name: float(n) for name, n in counts.items() if name in COUNTS}
            found[member.name] = Look(time.monotonic(), member.pid, holding.memory_mb, kept)
        return found
