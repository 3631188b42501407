"""An event loop on a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent import futures
from contextlib import suppress
from typing import Any, TypeVar

from recmesh_client.errors import Cancelled
from recmesh_client.wire.caller import client_closed

T = TypeVar("T")
Work = Coroutine[Any, Any, T]

SETTLE_SECONDS = 1.0
"""How long calls in hand may take to end, once their connections are closed."""


class LoopThread:
    """Runs coroutines for other threads. Any number of them may use it at once."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_on_exception)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="recmesh-client", daemon=True
        )
        self._thread.start()
        self._closing = False
        self._lock = threading.RLock()
        """Nothing is handed to the loop once it has begun to close: nobody would do it. Who holds it may come again: at
        any moment the collector may end an iteration, and a signal may close the client."""

    def run(self, coroutine: Work[T]) -> T:
        """What the coroutine returns or raises. When the waiting is interrupted, it is cancelled.

        Raises:
            Cancelled: The loop was closed meanwhile.
            RuntimeError: The loop is closed, or this is its own thread, where waiting would be for ever.
        """
        future = self._handed_over(coroutine)
        if future is None:
            raise RuntimeError("the client is closed, or called from within its own event loop")
        return _result(future)

    def end(self, coroutine: Work[None]) -> None:
        """The same with what ends something. Where nothing is run any more, there is nothing left to end."""
        future = self._handed_over(coroutine)
        if future is not None:
            with suppress(Cancelled):
                _result(future)

    def _handed_over(self, coroutine: Work[T]) -> futures.Future[T] | None:
        if not self._here():
            with self._lock:
                if not self._closing:
                    return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        return None

    def _here(self) -> bool:
        return threading.current_thread() is self._thread

    def each(self, source: AsyncIterator[T]) -> Iterator[T]:
        """What an asynchronous generator yields. It is closed when this one is."""
        try:
            while True:
                try:
                    value = self.run(_next(source))
                except StopAsyncIteration:
                    return
                yield value
        finally:
            self.end(_close(source))

    def close(self, last: Callable[[], Work[None]] | None = None) -> None:
        """Stops the loop; a second time it does nothing.

        Args:
            last: Ends what is in hand.

        Raises:
            RuntimeError: This is the loop's own thread.
        """
        if self._here():
            raise RuntimeError("the client cannot be closed from within its own event loop")
        with self._lock:
            if self._closing:
                return
            self._closing = True
        try:
            asyncio.run_coroutine_threadsafe(_settle(last), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def _result(future: futures.Future[T]) -> T:
    try:
        return future.result()
    except futures.CancelledError:
        # It did not end by itself within the time that it had.
        error = client_closed()
    except BaseException:
        future.cancel()
        raise
    raise error


async def _settle(last: Callable[[], Work[None]] | None) -> None:
    """Lets calls of other threads end, so that none waits for ever."""
    try:
        if last is not None:
            await last()
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, slow = await asyncio.wait(others, timeout=SETTLE_SECONDS)
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_asyncgens()


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)


async def _close(source: AsyncIterator[Any]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        with suppress(asyncio.CancelledError):
            await close()


def _on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leaves out what gRPC's poller says when a process has several event loops: each is woken for every event, and
    those that come too late find nothing to read (grpc/grpc issue 25364). No call is affected.
    """
    late = isinstance(context.get("exception"), BlockingIOError)
    if not (late and "PollerCompletionQueue" in repr(context.get("handle"))):
        loop.default_exception_handler(context)
