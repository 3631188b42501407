"""Methods that wait, made of those of `AsyncClient`: same arguments, same answers, same errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from google.protobuf.message import Message

from recmesh_client.api.base import Progress
from recmesh_client.async_client import AsyncClient
from recmesh_client.data.rows import ImportProgress, ImportReport
from recmesh_client.pages import AsyncPages
from recmesh_client.wire.blocking import LoopThread
from recmesh_client.wire.upload import Upload
from recmesh_client.wire.wire import Wire

P = ParamSpec("P")
T = TypeVar("T")
Row = TypeVar("Row", bound=Message)
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class Blocking:
    """Base of the client that waits.

    Args:
        thread: Where the event loop runs.
        wire: Carries the calls; made in that loop.
    """

    def __init__(self, thread: LoopThread, wire: Wire) -> None:
        self._thread = thread
        self._wire = wire
        self._client = AsyncClient(wire)


class Pages(Generic[T]):
    """Entries of a list: `for` over it, as often as you like. Pages are fetched as they are needed."""

    def __init__(self, thread: LoopThread, source: AsyncPages[T]) -> None:
        self._thread = thread
        self._source = source

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[tuple[T, ...]]:
        """The same, a page at a time. Pages may be empty."""
        return self._thread.each(self._source.pages())


def waiting(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking, P], T]:
    """A method that waits for the answer."""

    @wraps(method)
    def call(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(method(self._client, *args, **kwargs))

    return call


def paged(
    method: Callable[Concatenate[AsyncClient, P], AsyncPages[T]],
) -> Callable[Concatenate[Blocking, P], Pages[T]]:
    """A method that lists."""

    @wraps(method)
    def call(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> Pages[T]:
        return Pages(self._thread, method(self._client, *args, **kwargs))

    return call


def streamed(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]],
) -> Callable[Concatenate[Blocking, P], Iterator[T]]:
    """A method that streams."""

    @wraps(method)
    def call(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._thread.each(method(self._client, *args, **kwargs))

    return call


def carry(
    thread: LoopThread,
    upload: Upload[T, Row, Q, A],
    rows: Iterable[T],
    progress: Progress | None,
) -> ImportReport:
    """Sends all rows and waits for the report. Rows are taken, and progress told, in the caller's own thread: both may
    call the client.
    """
    try:
        for row in rows:
            full = upload.collect(row)
            if full:
                thread.run(upload.send(full))
                if progress is not None:
                    progress(ImportProgress(upload.sent, done=False))
        report = thread.run(upload.finish())
    finally:
        thread.end(upload.close())
    if progress is not None:
        progress(ImportProgress(upload.sent, done=True))
    return report
