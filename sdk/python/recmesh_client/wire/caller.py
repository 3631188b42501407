"""The one way of every call: deadline, sign-in, tries, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from recmesh_client.errors import Cancelled, RecmeshError
from recmesh_client.reasons import ErrorReason
from recmesh_client.settings import Retry, Targets
from recmesh_client.wire.contract import repeatable
from recmesh_client.wire.failure import error_of
from recmesh_client.wire.retry import Deadline, Repeats

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
Metadata = tuple[tuple[str, str], ...]
Headers = Callable[[], Mapping[str, str]]
_REFUSED = (ErrorReason.TOKEN_EXPIRED, ErrorReason.TOKEN_INVALID)


class Signer(Protocol):
    """Who the calls are made as."""

    async def metadata(self, deadline: Deadline) -> Metadata:
        """What goes along with a call. May sign in for it, and raise what comes of that."""

    def refused(self, metadata: Metadata) -> bool:
        """Takes note that a token was refused; says whether there may be another."""


class Anonymous:
    """Nobody: for methods that ask for no token."""

    async def metadata(self, deadline: Deadline) -> Metadata:
        """Nothing."""
        return ()

    def refused(self, metadata: Metadata) -> bool:
        """There is no other."""
        return False


class Caller:
    """Makes calls.

    Args:
        signer: Who they are made as.
        targets: Where the services are, to say which one is away.
        retry: How they are repeated, where that is safe.
        timeout: Seconds that a unary call may take when it does not say.
        headers: Asked at each call for what goes along beside the sign-in.
    """

    def __init__(
        self, signer: Signer, targets: Targets, retry: Retry, timeout: float, headers: Headers
    ) -> None:
        self._signer = signer
        self._headers = headers
        self._targets = targets
        self._retry = retry
        self._timeout = timeout

    async def unary(
        self, call: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q, timeout: float | None
    ) -> A:
        """Calls, repeats where that is safe, and answers. Raises RecmeshError.

        Args:
            call: The method.
            request: What is asked.
            timeout: Seconds for all of it; None for the client's.
        """
        deadline = Deadline(self._timeout if timeout is None else timeout)
        repeats = Repeats(self._retry, deadline)
        renewed = False
        while True:
            metadata = await self._signer.metadata(deadline)
            try:
                return await call(
                    request, timeout=deadline.left(), metadata=self._with_headers(metadata)
                )
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError) as failed:
                error = raised_by(failed, self.service_of(request))
            if not renewed and error.reason in _REFUSED and self._signer.refused(metadata):
                renewed = True
                continue
            if not repeatable(request):
                raise error
            await repeats.wait(error)

    async def stream(
        self,
        call: grpc.aio.UnaryStreamMultiCallable[Q, A],
        request: Callable[[], Q],
        timeout: float,
        *,
        resumable: bool = True,
    ) -> AsyncIterator[A]:
        """Calls and yields what comes. A stream that breaks is opened again, until the deadline. Raises RecmeshError.

        Args:
            call: The method; free of side effects.
            request: Makes the request that goes on from what was yielded last.
            timeout: Seconds for all of it.
            resumable: False: a stream that breaks after its first message stays broken.
        """
        deadline = Deadline(timeout)
        repeats = Repeats(self._retry, deadline)
        renewed = started = False
        while True:
            metadata = await self._signer.metadata(deadline)
            try:
                asked = request()
                rpc = call(asked, timeout=deadline.left(), metadata=self._with_headers(metadata))
                try:
                    async for message in rpc:
                        started = True
                        repeats.progress()
                        yield message
                finally:
                    rpc.cancel()
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError) as failed:
                error = raised_by(failed, self.service_of(asked))
            else:
                return
            if not renewed and error.reason in _REFUSED and self._signer.refused(metadata):
                renewed = True
                continue
            if started and not resumable:
                raise error
            await repeats.wait(error)

    async def upload(
        self, call: grpc.aio.StreamUnaryMultiCallable[Q, A], timeout: float
    ) -> grpc.aio.StreamUnaryCall[Q, A]:
        """Opens a call that takes a stream of requests. Raises RecmeshError when the sign-in fails."""
        deadline = Deadline(timeout)
        metadata = await self._signer.metadata(deadline)
        return call(timeout=deadline.left(), metadata=self._with_headers(metadata))

    def _with_headers(self, metadata: Metadata) -> Metadata:
        return (*metadata, *self._headers().items())

    def service_of(self, request: Message) -> str:
        """Which service is asked, and where it is, in words."""
        name = request.DESCRIPTOR.file.package.split(".")[1]
        return f"the {name} service at {getattr(self._targets, name)}"


def raised_by(failed: BaseException, service: str) -> RecmeshError:
    """What to raise, outside of the `except` block. The cancellation of the task that calls passes through.

    Args:
        failed: What the call ended with.
        service: Who was called, in words.
    """
    if isinstance(failed, grpc.aio.AioRpcError):
        return error_of(failed, service)
    task = asyncio.current_task()
    if isinstance(failed, asyncio.CancelledError) and task is not None and task.cancelling():
        raise failed
    return client_closed()


def client_closed() -> Cancelled:
    """What calls end with that were in hand when the client was closed."""
    return Cancelled("The client is closed.", reason=ErrorReason.CANCELLED)
