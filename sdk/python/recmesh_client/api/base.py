"""What the methods of all services share."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from recmesh_client.data.rows import ImportProgress, ImportReport
from recmesh_client.wire.upload import Upload
from recmesh_client.wire.wire import Wire

T = TypeVar("T")
Row = TypeVar("Row", bound=Message)
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
Progress = Callable[[ImportProgress], object]


class Api:
    """Base of the methods.

    Args:
        wire: Carries the calls.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def _call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q, timeout: float | None
    ) -> A:
        return await self._wire.caller.unary(method, request, timeout)

    def _stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Q, A],
        request: Callable[[], Q],
        timeout: float | None,
        *,
        resumable: bool = True,
    ) -> AsyncIterator[A]:
        seconds = self._wire.stream_timeout if timeout is None else timeout
        return self._wire.caller.stream(method, request, seconds, resumable=resumable)


async def carry(
    upload: Upload[T, Row, Q, A], rows: Iterable[T] | AsyncIterable[T], progress: Progress | None
) -> ImportReport:
    """Sends all rows and waits for the report."""
    async with upload:
        async for row in _each(rows):
            full = upload.collect(row)
            if full:
                await upload.send(full)
                if progress is not None:
                    progress(ImportProgress(upload.sent, done=False))
        report = await upload.finish()
    if progress is not None:
        progress(ImportProgress(upload.sent, done=True))
    return report


async def _each(rows: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
