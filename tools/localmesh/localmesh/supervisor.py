"""Keeps programs running: started when what they need is there, restarted, stopped in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass

from localmesh.children import Child, Spec
from localmesh.errors import MeshError

_FIRST_PAUSE = 0.5
_STEADY_SECONDS = 60.0
"""After so long without a crash, the next one starts from the first pause again."""


@dataclass(frozen=True)
class Unit:
    """One program that is to run for as long as the mesh does."""

    name: str
    prepare: Callable[[], Awaitable[Spec]]
    """Before each start."""
    ready: Callable[[], Awaitable[bool]]
    limit: float
    """Seconds that it may take from its start until it is ready."""


class Member:
    """A unit and its child process at the moment."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.state = "waiting"
        self.restarts = 0
        self.child: Child | None = None
        self.watch: asyncio.Task[None] | None = None

    async def launch(self) -> None:
        """Start the child and wait until it is ready. Raises MeshError."""
        self.child = Child(await self.unit.prepare())
        self.child.start()
        await self.child.become_ready(self.unit.ready, self.unit.limit)

    async def stop(self) -> None:
        """Stop the child, for good."""
        if self.child is not None:
            await self.child.stop()


class Supervisor:
    """The members of a mesh in stages, each of which needs the ones before it."""

    def __init__(
        self,
        stages: Iterable[Iterable[Unit]],
        say: Callable[[str], None],
        changed: Callable[[], None],
        longest_pause: float,
    ) -> None:
        self._stages = [[Member(unit) for unit in stage] for stage in stages]
        self._say = say
        self._changed = changed
        self._longest_pause = longest_pause

    @property
    def members(self) -> list[Member]:
        """All of them, in the order of the stages."""
        return [member for stage in self._stages for member in stage]

    async def start(self, *names: str) -> None:
        """Start these members at the same time and wait until all are ready. Raises MeshError."""
        await together(
            *(self._start(member) for member in self.members if member.unit.name in names)
        )

    async def stop(self) -> None:
        """Stop everything: stage after stage from the last, the members of a stage together."""
        watches = [member.watch for member in self.members if member.watch]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        for stage in reversed(self._stages):
            await asyncio.gather(*(member.stop() for member in stage))
            for member in stage:
                self._set(member, "stopped")

    async def _start(self, member: Member) -> None:
        self._set(member, "starting")
        await member.launch()
        self._set(member, "healthy")
        member.watch = asyncio.create_task(self._watch(member), name=f"watch {member.unit.name}")

    async def _watch(self, member: Member) -> None:
        """Start the member again whenever it ends."""
        first = min(_FIRST_PAUSE, self._longest_pause)
        pause = first
        while True:
            began = time.monotonic()
            if member.child is not None and member.child.running:
                code = await member.child.wait()
                self._say(f"{member.unit.name} ended with {code}; see {member.child.spec.log}")
            if time.monotonic() - began > _STEADY_SECONDS:
                pause = first
            self._set(member, "restarting")
            self._say(f"{member.unit.name} starts again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._longest_pause)
            member.restarts += 1
            try:
                await member.launch()
            except (MeshError, OSError) as error:
                self._say(str(error))
                await member.stop()
            else:
                self._set(member, "healthy")
                self._say(f"{member.unit.name} is back")

    def _set(self, member: Member, state: str) -> None:
        member.state = state
        self._changed()


async def together(*work: Coroutine[None, None, None]) -> None:
    """Do all of it at the same time; the first error cancels the rest and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
