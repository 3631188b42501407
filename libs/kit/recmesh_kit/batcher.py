"""Work done together: what waits while a batch runs is the next batch."""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Generic, TypeVar

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import Exhausted, Unavailable
from recmesh_kit.tasks import is_cancelled

_LONG_SECONDS = 1.0
"""What is away for a batch that failed sooner costs the next ones little to find out themselves."""

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Hands items to a function in batches. An item that comes alone is a batch at once.

    Args:
        name: For messages and task names.
        run: Does the work of a batch. Answers one result an item, in order; a result that is an exception is raised
            to whoever submitted that item. When it raises itself, all of the batch fail with that; and when it raises
            `Unavailable` after a while, so do those who have waited since before it began: they were not tried, and
            each batch would take as long again.
        max_batch: Most items in a batch.
        max_waiting: Most items that wait to be taken into a batch.
        workers: Most batches that run at once.
        gather_seconds: How long a batch of several is put off for those that are about to come. Only while they come so
            fast that one more is to be expected in that time: then batches are larger, and fewer.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[list[T]], Awaitable[Sequence[R | BaseException]]],
        max_batch: int,
        max_waiting: int,
        workers: int = 1,
        gather_seconds: float = 0.0,
    ) -> None:
        self._name = name
        self._run = run
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._workers = workers
        self._gather_seconds = gather_seconds
        self._taken_at = -math.inf
        self._submitted = 0
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Batcher[T, R]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def submit(self, item: T) -> R:
        """Has an item done, and returns its result.

        A caller that is cancelled leaves the batch as it is. An item that nobody waits for any more is left out, if
        its batch has not begun.

        Raises:
            Exhausted: As many items wait as may.
            Unavailable: The batcher is closed, or what it needs is away.
        """
        if self._closed:
            raise Unavailable("The server is stopping.", reason=reasons.ERROR_REASON_SHUTTING_DOWN)
        if len(self._waiting) >= self._max_waiting:
            raise Exhausted(f"Too much is waiting ({self._name}). Repeat the call a little later.")
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        self._submitted += 1
        if len(self._running) < self._workers:
            # In a context of its own: a batch is nobody's request.
            self._running.add(
                asyncio.create_task(
                    self._work(), name=f"batcher {self._name}", context=contextvars.Context()
                )
            )
        return await result

    async def aclose(self) -> None:
        """Takes no more, and returns when all that was taken is done."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    async def _work(self) -> None:
        """Runs batches until nothing waits."""
        try:
            while self._waiting:
                if self._are_coming():
                    await asyncio.sleep(self._gather_seconds)
                if batch := self._take():
                    await self._run_one(batch)
        finally:
            # Here, not in a callback of the task: whoever submits in between would find nobody to do it.
            task = asyncio.current_task()
            assert task is not None
            self._running.discard(task)

    async def _run_one(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        began, submitted = time.monotonic(), self._submitted
        try:
            results = await self._run([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                _settle(future, result)
        except Exception as error:
            for _, future in batch:
                _settle(future, error)
            if isinstance(error, Unavailable) and time.monotonic() - began >= _LONG_SECONDS:
                self._fail_waiting(submitted, error)
        except asyncio.CancelledError as error:
            if is_cancelled():
                for _, future in batch:
                    future.cancel()
                raise
            broken_off = Unavailable("What this needs went away. Repeat the call a little later.")
            broken_off.__cause__ = error
            for _, future in batch:
                _settle(future, broken_off)

    def _fail_waiting(self, submitted: int, error: Unavailable) -> None:
        """Fails those of the first `submitted` items ever that wait still."""
        for _ in range(len(self._waiting) - (self._submitted - submitted)):
            _, future = self._waiting.popleft()
            _settle(future, error)

    def _are_coming(self) -> bool:
        """Whether, at the rate at which others have come beside the first since the last batch, another one comes
        within the time that is gathered, and has room in the batch. (One caller after the other is not put off.)"""
        if len(self._waiting) >= self._max_batch:
            return False
        since = time.monotonic() - self._taken_at
        return (len(self._waiting) - 1) * self._gather_seconds > since

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        self._taken_at = time.monotonic()
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._max_batch:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch


def _settle(future: asyncio.Future[R], result: R | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
