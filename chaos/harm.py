"""Breaks what the plan says, and undoes it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic

import psutil

from chaos.breaking import BROKER, BROKERS, Disturbance, Kind
from localmesh.paths import Paths
from localmesh.state import MemberState, born, last_state
from recmesh_kit.proxy import Proxy

_PATIENCE = 6.0
"""Seconds that a disturbance waits for its target to be well, and for the other nodes of the broker."""
_SIGNALS = {
    Kind.KILL: signal.SIGKILL,
    Kind.TERMINATE: signal.SIGTERM,
    Kind.RESTART: signal.SIGINT,
}
_HEALTHY = "healthy"


class Harm:
    """Breaks things.

    Args:
        paths: Where the mesh says what runs.
        links: The detours, by the names of the servers that they lead to.
        say: Gets a line about each disturbance.
    """

    def __init__(
        self, paths: Paths, links: Mapping[str, Proxy], say: Callable[[str], None]
    ) -> None:
        self._paths = paths
        self._links = links
        self._say = say
        self._stopped: dict[int, int | None] = {}
        self.done: Counter[str] = Counter()
        """How many there were, by their labels."""
        self.kills = 0
        """How many processes were ended."""
        self.skipped = 0
        """Those whose target was away just then."""

    async def run(self, plan: Sequence[Disturbance], seconds: float) -> None:
        """All of it, each at its time; returns after so many seconds, or a little later."""
        began = monotonic()
        async with asyncio.TaskGroup() as group:
            for one in plan:
                await asyncio.sleep(max(0.0, began + one.at - monotonic()))
                group.create_task(self._disturb(one), name=f"disturb {one.label}")
            await asyncio.sleep(max(0.0, began + seconds - monotonic()))

    async def undo(self) -> None:
        """Lets everything that is left go on."""
        for pid, since in list(self._stopped.items()):
            if born(pid) == since:
                _send(pid, signal.SIGCONT)
        self._stopped.clear()
        for link in self._links.values():
            link.resume()
            link.delay(0)
            await link.open()

    async def _disturb(self, one: Disturbance) -> None:
        if one.kind in _SIGNALS or one.kind in (Kind.CRASH, Kind.PAUSE):
            member = await self._well(one.target)
            if member is None or member.pid is None:
                self.skipped += 1
                self._say(f"    {one.label} {one.target}: left out, it is not well")
                return
            self._tell(one)
            if one.kind is Kind.PAUSE:
                await self._pause(member.pid, one.seconds)
            else:
                self.kills += 1
                _send(member.pid, _signal(one))
        else:
            self._tell(one)
            names = BROKERS if one.target == BROKER else (one.target,)
            await asyncio.gather(*(self._strain(self._links[name], one) for name in names))

    def _tell(self, one: Disturbance) -> None:
        self.done[one.label] += 1
        lasting = f" for {one.seconds:.1f} s" if one.seconds else ""
        amount = f" by {one.amount * 1000:.0f} ms" if one.kind is Kind.DELAY else ""
        self._say(f"*** {one.kind} {one.target}{lasting}{amount}")

    async def _well(self, name: str) -> MemberState | None:
        """The member once it is well; None if that takes too long. A node of the broker is left alone while another
        one is away: two of three have to be there.
        """
        until = monotonic() + _PATIENCE
        needed = set(BROKERS) if name in BROKERS else {name}
        while True:
            state = last_state(self._paths)
            members = {m.name: m for m in state.members} if state else {}
            ill = [
                n
                for n in needed
                if n not in members
                or members[n].state != _HEALTHY
                or members[n].pid in self._stopped
            ]
            if not ill:
                return members[name]
            # It is looked for once at the least, however long that takes.
            if monotonic() >= until:
                return None
            await asyncio.sleep(0.1)

    async def _pause(self, pid: int, seconds: float) -> None:
        """Stops a process and its children: those of PostgreSQL do the work."""
        stopped = [pid]
        _send(pid, signal.SIGSTOP)
        self._stopped[pid] = born(pid)
        with suppress(psutil.Error):
            stopped += [child.pid for child in psutil.Process(pid).children(recursive=True)]
        for child in stopped[1:]:
            self._stopped[child] = born(child)
            _send(child, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            for each in reversed(stopped):
                if each in self._stopped and born(each) == self._stopped.pop(each):
                    _send(each, signal.SIGCONT)

    async def _strain(self, link: Proxy, one: Disturbance) -> None:
        match one.kind:
            case Kind.CUT:
                await link.cut()
            case Kind.CLOSE:
                await link.close()
                await asyncio.sleep(one.seconds)
                await link.open()
            case Kind.HANG:
                link.hang(answers_only=one.amount < 0.3)
                await asyncio.sleep(one.seconds)
                link.resume()
            case _:
                link.delay(one.amount)
                await asyncio.sleep(one.seconds)
                link.delay(0)


def _signal(one: Disturbance) -> signal.Signals:
    if one.kind is Kind.CRASH:
        return signal.SIGQUIT if one.amount < 0.5 else signal.SIGKILL
    return _SIGNALS[one.kind]


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)
