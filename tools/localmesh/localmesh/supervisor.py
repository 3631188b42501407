"""Keeps programs running: started when what they need is there, restarted, stopped in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass

from localmesh.children import Child, Spec
from localmesh.errors import MeshError
from recmesh_kit.tasks import end_if_cancelled

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
    takes_over: Callable[[int], Awaitable[bool]] | None = None
    """Whether the process with this number is ready, while another one of the unit runs beside it. None: there can be
    only one at a time."""


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

    async def renew(self) -> None:
        """Put another child in the place of the one that runs. Raises MeshError when it does not become ready."""
        old, takes_over = self.child, self.unit.takes_over
        if old is None or takes_over is None:
            await self.stop()
            await self.launch()
            return
        new = Child(await self.unit.prepare())
        new.start()
        try:
            await new.become_ready(lambda: takes_over(new.pid or 0), self.unit.limit)
        except BaseException:
            await new.stop()
            raise
        self.child = new
        try:
            await old.stop()
        finally:
            # When this was cancelled: nobody else knows of it.
            await old.stop()

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

    async def replace(self, name: str) -> None:
        """Put another process in the place of a member's, which serves until the new one is ready, if there can be two;
        otherwise it is stopped before. Raises MeshError when the new one does not become ready.
        """
        [member] = (member for member in self.members if member.unit.name == name)
        await _cancel(member.watch)
        before = member.child
        self._set(member, "replacing")
        try:
            await member.renew()
        except (MeshError, OSError):
            if member.child is not before:
                await member.stop()
            raise
        finally:
            self._set(member, "healthy" if member.child and member.child.running else "stopped")
            watch = self._watch(member)
            member.watch = asyncio.create_task(watch, name=f"watch {member.unit.name}")

    async def stop(self) -> None:
        """Stop everything: stage after stage from the last, the members of a stage together."""
        await asyncio.gather(*(_cancel(member.watch) for member in self.members))
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
            # Whoever asks a server whether it is ready may have lost the word to end.
            end_if_cancelled()
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


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


async def together(*work: Coroutine[None, None, None]) -> None:
    """Do all of it at the same time; the first error cancels the rest and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
