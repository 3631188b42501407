"""Background work: every task has a name, a bound and an end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

import structlog

log = structlog.get_logger()

MAX_TASKS = 100
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
        """Cancels and awaits all tasks, the youngest first."""
        self._closed = True
        for task in reversed(self._tasks.copy()):
            task.cancel()
            await asyncio.wait([task])

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", task=task.get_name(), exc_info=error)


def backoff(
    failures: int, first: float = _FIRST_BACKOFF_SECONDS, most: float = _MAX_BACKOFF_SECONDS
) -> float:
    """Seconds to wait after so many failures in a row (1, 2, …): doubling from `first` to `most`, spread at random."""
    longest = min(first * 2.0 ** min(failures - 1, 16), most)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


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
        except Exception:
            failures += 1
            pause = max(every, backoff(failures))
            log.exception("background loop failed", task=name, failures=failures, pause=pause)
            await asyncio.sleep(pause)
            continue
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
