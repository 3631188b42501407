"""Background work: every task has a name, a bound and an end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

import structlog

from recmesh_kit.errors import Unavailable

log = structlog.get_logger()

MAX_TASKS = 100
CANCEL_AGAIN_SECONDS = 5.0
"""Longer than what is cancelled takes to give up what hangs."""
_FIRST_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 30.0


class Background:
    """Owns tasks. At its exit they are cancelled and awaited, the youngest first.

    Args:
        limit: Most tasks at once.
    """

    def __init__(self, limit: int = MAX_TASKS) -> None:
        self._limit = limit
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Background:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task. What it raises is logged, and nothing else happens.

        Raises:
            RuntimeError: It is closed, or has as many tasks as it may.
        """
        if self._closed or len(self._tasks) >= self._limit:
            work.close()
            raise RuntimeError(f"no task {name!r}: {'closed' if self._closed else 'too many'}")
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._done)
        return task

    def loop(
        self,
        name: str,
        function: Callable[[], Awaitable[None]],
        every: float,
        wake: asyncio.Event | None = None,
    ) -> asyncio.Task[None]:
        """Calls a function again and again. One that fails is logged, and called again after a longer pause.

        Args:
            name: For the logs.
            function: What is called.
            every: Seconds from the end of one call to the beginning of the next.
            wake: Ends the pause after a call that went well; cleared before each call.
        """
        return self.spawn(name, _repeat(name, function, every, wake))

    async def aclose(self) -> None:
        """Cancels and awaits all tasks, the youngest first.

        Again after a while, as a cancellation may be lost: `asyncio.wait_for` before Python 3.12, which libraries use,
        loses one that comes just as what it waits for ends.
        """
        self._closed = True
        for task in reversed(self._tasks.copy()):
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", task=task.get_name(), exc_info=error)


def is_cancelled() -> bool:
    """In the handler of a cancellation: whether the task itself is being cancelled. If not, it was something that it
    waited for, as a library does to what it closes; then the task goes on, and what it did has failed.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def end_if_cancelled() -> None:
    """Ends the task if it is being cancelled. To be called where work that may have hidden this comes back: what it
    does at its end, to give up a connection that hangs, say, may fail, and it then says that something is away.

    Not around an `asyncio.TaskGroup`: before Python 3.13 the task still counts as being cancelled after one has failed.

    Raises:
        CancelledError: It is.
    """
    if is_cancelled():
        raise asyncio.CancelledError


def backoff(
    failures: int, first: float = _FIRST_BACKOFF_SECONDS, most: float = _MAX_BACKOFF_SECONDS
) -> float:
    """Seconds to wait after so many failures in a row (1, 2, …): doubling from `first` to `most`, spread at random."""
    longest = min(first * 2.0 ** min(failures - 1, 16), most)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class Comeback:
    """Of something that is begun anew whenever it ends: how long to wait before. Longer each time, unless it had gone
    on for a while; spread at random.

    Args:
        first: Seconds of the first pause.
        most: Seconds of the longest.
        steady: Seconds after which what ended had gone well.
    """

    def __init__(self, first: float, most: float, steady: float) -> None:
        self._first = first
        self._most = most
        self._steady = steady
        self._began: float | None = None
        self.failures = 0
        """How often in a row it has ended before it was steady."""

    def began(self) -> None:
        """It goes on from now."""
        self._began = time.monotonic()

    def pause(self, places: int = 1) -> float:
        """It has ended: seconds to wait before it is begun anew.

        Args:
            places: In how many places it is tried in turn; the pause grows with the rounds.
        """
        began, self._began = self._began, None
        lasted = began is not None and time.monotonic() - began >= self._steady
        self.failures = 1 if lasted else self.failures + 1
        return backoff(max(1, self.failures // places), self._first, self._most)


def steadily(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """The same work for a loop, whose rounds are skipped while something that it needs is away: the loop keeps its
    pace, and goes on as soon as that is back. (What is away is logged where it is noticed.)"""

    async def go_round() -> None:
        try:
            await work()
        except Unavailable:
            return

    return go_round


async def _repeat(
    name: str,
    function: Callable[[], Awaitable[None]],
    every: float,
    wake: asyncio.Event | None,
) -> None:
    failures = 0
    while True:
        if wake is not None:
            wake.clear()
        try:
            await function()
        except (Exception, asyncio.CancelledError):
            end_if_cancelled()
            failures += 1
            pause = max(every, backoff(failures))
            log.exception("background loop failed", task=name, failures=failures, pause=pause)
            await asyncio.sleep(pause)
            continue
        end_if_cancelled()
        failures = 0
        await _pause(every, wake)


async def _pause(seconds: float, wake: asyncio.Event | None) -> None:
    if wake is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        pass
