"""Streams of rows to a service: grouped into messages, as fast as the service takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from recmesh_client.data.rows import ImportReport
from recmesh_client.wire.caller import raised_by
from recmesh_client.wire.failure import error_of

T = TypeVar("T")
Row = TypeVar("Row", bound=Message)
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
S = TypeVar("S")

MESSAGE_BYTES = 1024 * 1024
"""A message is sent before it grows beyond this; a service takes 4 MiB."""
ROW_BYTES = 4 * 1024 * 1024 - 1024
"""More than this no message can hold."""

_FAILED = "Internal error from Core"
"""Details of the status that grpc.aio makes up for a message that could not be sent."""


class Upload(Generic[T, Row, Q, A]):
    """One import. Rows are collected until they fill a message; on leaving the block the call is over.

    Args:
        call: The call.
        service: Who is called, in words.
        encode: Makes the message of a row.
        pack: Makes a request of some rows.
        report: Reads the answer.
        rows: Most rows in a request.
    """

    def __init__(
        self,
        call: grpc.aio.StreamUnaryCall[Q, A],
        *,
        service: str,
        encode: Callable[[T], Row],
        pack: Callable[[Sequence[Row]], Q],
        report: Callable[[A], ImportReport],
        rows: int,
    ) -> None:
        self.sent = 0
        self._call = call
        self._service = service
        self._status: grpc.aio.AioRpcError | None = None
        self._over = asyncio.Event()
        call.add_done_callback(self._note)
        self._encode = encode
        self._pack = pack
        self._report = report
        self._most = rows
        self._rows: list[Row] = []
        self._bytes = 0

    def collect(self, row: T) -> Sequence[Row]:
        """Puts a row to the others; hands out those before it when it no longer fits beside them, to be sent.

        Raises:
            ValueError: The row is too large for any message.
        """
        encoded = self._encode(row)
        size = encoded.ByteSize()
        if size > ROW_BYTES:
            number = self.sent + len(self._rows)
            raise ValueError(f"row {number} has {size} bytes: more than a message can hold")
        full: Sequence[Row] = ()
        if len(self._rows) >= self._most or (self._rows and self._bytes + size > MESSAGE_BYTES):
            full, self._rows, self._bytes = self._rows, [], 0
        self._rows.append(encoded)
        self._bytes += size
        return full

    async def send(self, rows: Sequence[Row]) -> None:
        """Sends rows; waits while the service has enough. Raises RecmeshError when the call has failed."""
        try:
            if not self.sent:
                await self._begun()
            await self._call.write(self._pack(rows))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            ended = True
        else:
            ended = False
            self.sent += len(rows)
        if ended:
            await self._outcome()

    async def _begun(self) -> None:
        """Returns once the call can be written to, or is over. (Of one that is cancelled before it is connected,
        grpc.aio's `write` never returns.)
        """
        waiting = [
            asyncio.ensure_future(one)
            for one in (self._call.wait_for_connection(), self._over.wait())
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            # What went wrong, writing tells.
            await asyncio.gather(*waiting, return_exceptions=True)

    async def finish(self) -> ImportReport:
        """Sends what is left, and waits for the report. Raises RecmeshError."""
        # The first message names the catalog, so that there is one even without rows.
        if self._rows or not self.sent:
            await self.send(self._rows)
        await self._call.done_writing()
        return self._report(await self._outcome())

    async def _outcome(self) -> A:
        try:
            return await self._call
        except grpc.aio.AioRpcError as failed:
            error = error_of(self._status or failed, self._service)
        except asyncio.CancelledError as ended:
            error = raised_by(ended, self._service)
        raise error

    def _note(self, call: grpc.aio.StreamUnaryCall[Q, A]) -> None:
        """Keeps the status that the service sent. A message that was on its way then fails, and grpc.aio puts an
        INTERNAL of its own in the place of that status.
        """
        self._over.set()
        code = _now(call.code())
        if code is None or (code is grpc.StatusCode.INTERNAL and _now(call.details()) == _FAILED):
            return
        trailing, details = _now(call.trailing_metadata()), _now(call.details())
        self._status = grpc.aio.AioRpcError(code, None, trailing, details)

    async def close(self) -> None:
        """Ends the call, if it is not over. What was sent before may have been written."""
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _now(answer: Coroutine[Any, Any, S]) -> S | None:
    """What a coroutine returns that need not wait; None when it has to."""
    try:
        answer.send(None)
    except StopIteration as done:
        return cast("S", done.value)
    answer.close()
    return None
