"""The chain: request id, deadline, authentication, decoding, authorisation, validation, and around them error mapping
and the access log.

Handlers are registered with the bytes as they come, because grpc.aio decodes outside of everything and would answer
malformed bytes with UNKNOWN.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol, cast

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit import context, validation
from recmesh_kit.chain import failure
from recmesh_kit.chain.authorize import Metadata, Rule, authenticate
from recmesh_kit.chain.door import Door, full
from recmesh_kit.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotImplementedYet,
    RecmeshError,
)
from recmesh_kit.ids import uuid7
from recmesh_kit.refusals import Refusals
from recmesh_kit.tasks import is_cancelled
from recmesh_kit.tokens import TokenVerifier

log = structlog.get_logger("access")

REQUEST_ID_HEADER = "x-request-id"
STATUS_DETAILS_HEADER = "grpc-status-details-bin"
_LARGE_BYTES = 64 * 1024
"""A request of more bytes is decoded and checked in a thread."""
_ABORT_SECONDS = 2.0
"""How long the caller of a stream that does not read what it was sent before may keep its error waiting. (Where nothing
was sent before, an error waits for nobody, and a busy server may take as long.)"""
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""What may go back as metadata: printable ASCII."""

RpcContext = grpc.aio.ServicerContext[Any, Any]
Servicer = object
"""A subclass of a generated `…Servicer`. What streams its answers is an async generator."""
_OK = {"code": grpc.StatusCode.OK.name}
_CANCELLED = {"code": grpc.StatusCode.CANCELLED.name}
_UNSENT = (grpc.aio.InternalError, grpc.aio.UsageError)
"""What grpc raises, instead of a cancellation or before it, when it has nobody to send to any more."""


class _CallerGone(Exception):
    """There is nobody to answer."""


class Observer(Protocol):
    """Sees every call come and go: for what is measured and traced. It must not raise."""

    def begin(self, call: context.Call, metadata: Metadata) -> Callable[[str, float], None]:
        """Told at the beginning, in the call's own task and context. Answers what is told of the end, in the same
        context and after the call's line in the log: the name of the status code, and the seconds that it took."""
        ...

    def turned_away(self, path: str) -> None:
        """Told of a call that was turned away before it began, by the path of its method."""
        ...


class Chain:
    """What every call of a server goes through.

    Args:
        verifier: Verifies tokens.
        default_deadline: Seconds that a unary call without a deadline gets.
        max_deadline: Seconds that a unary call gets at the most.
        stream_deadline: Seconds that a stream gets at the most.
        max_calls: Calls in hand beyond which further ones are turned away.
        observer: Is told of every call.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        default_deadline: float,
        max_deadline: float,
        stream_deadline: float,
        max_calls: int,
        observer: Observer | None = None,
    ) -> None:
        self.verifier = verifier
        self.default_deadline = default_deadline
        self.max_deadline = max_deadline
        self.stream_deadline = stream_deadline
        self.max_calls = max_calls
        self.observer = observer
        self.in_hand = 0
        self._refusals = Refusals()
        self._say(self._refusals.pause)

    def handler(self, service: ServiceDescriptor, servicer: Servicer) -> grpc.GenericRpcHandler:
        """The handlers of all methods of a service.

        Raises:
            LookupError: A method without a usable authorisation rule, or a constraint that cannot be applied.
        """
        methods = [_Method(self, method, servicer) for method in service.methods]
        handlers = {method.path: method.handler() for method in methods}
        return Door(handlers, self.is_full, self.turned_away, self.refuse)

    def is_full(self) -> bool:
        """Whether another call is one too many."""
        return self.in_hand >= self.max_calls

    def turned_away(self, path: str) -> None:
        """Counts a call that is one too many, by the path of its method."""
        if self.observer is not None:
            self.observer.turned_away(path)
        pause = self._refusals.another()
        if pause != self._pause:
            self._say(pause)

    def _say(self, pause: float) -> None:
        status = full(pause)
        self._pause, self._message = pause, status.message
        self._status = status.SerializeToString()

    def refuse(self, rpc: RpcContext) -> None:
        """Answers a call that is one too many."""
        metadata = cast("Metadata", rpc.invocation_metadata() or ())
        rpc.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
        rpc.set_details(self._message)
        rpc.set_trailing_metadata(
            ((STATUS_DETAILS_HEADER, self._status), (REQUEST_ID_HEADER, _request_id(metadata)))
        )


class _Method:
    """One method and its way through the chain."""

    def __init__(self, chain: Chain, method: MethodDescriptor, servicer: Servicer) -> None:
        self.chain = chain
        self.path = f"/{method.containing_service.full_name}/{method.name}"
        self.rule = Rule(method)
        self.request_class = GetMessageClass(method.input_type)
        self.client_streaming = method.client_streaming
        self.server_streaming = method.server_streaming
        self.planned = not is_implemented(servicer, method.name)
        # A servicer that is none of the generated kind may lack a planned method altogether.
        self.behaviour: Any = getattr(servicer, method.name, None)
        validation.compile_checks(method.input_type)

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        if self.client_streaming:
            if self.server_streaming:
                return grpc.stream_stream_rpc_method_handler(self._stream_stream)
            return grpc.stream_unary_rpc_method_handler(self._stream_unary)
        if self.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._unary_stream)
        return grpc.unary_unary_rpc_method_handler(self._unary_unary)

    # Four, because grpc looks at a handler's kind; each is a way through `_run`.

    async def _unary_unary(self, data: bytes, rpc: RpcContext) -> bytes:
        answer = await self._run(self._answer, self._accept, data, rpc)
        assert answer is not None
        return answer

    async def _stream_unary(self, stream: AsyncIterator[bytes], rpc: RpcContext) -> bytes:
        answer = await self._run(self._answer, self._accept_stream, stream, rpc)
        assert answer is not None
        return answer

    async def _unary_stream(self, data: bytes, rpc: RpcContext) -> None:
        await self._run(self._send_all, self._accept, data, rpc)

    async def _stream_stream(self, stream: AsyncIterator[bytes], rpc: RpcContext) -> None:
        await self._run(self._send_all, self._accept_stream, stream, rpc)

    async def _answer(self, request: object, rpc: RpcContext) -> bytes:
        answer: Message = await self.behaviour(request, rpc)
        return answer.SerializeToString()

    async def _send_all(self, request: object, rpc: RpcContext) -> None:
        # Written here, not yielded to grpc: a deadline or a cancellation that comes while the caller is slow to read
        # must come up within the chain, and must end the service's generator there and then.
        async with aclosing(self.behaviour(request, rpc)) as answers:
            async for answer in answers:
                try:
                    await rpc.write(answer.SerializeToString())
                except _UNSENT as error:
                    raise _CallerGone from error

    async def _run(
        self,
        work: Callable[[object, RpcContext], Awaitable[bytes | None]],
        accept: Callable[[Any, context.Call], Awaitable[object]],
        incoming: object,
        rpc: RpcContext,
    ) -> bytes | None:
        """Everything around the service's own code.

        Args:
            work: Has the service answer.
            accept: Checks what comes in, and makes the service's request of it.
            incoming: What comes in.
            rpc: The call, as grpc has it.
        """
        chain, began = self.chain, time.monotonic()
        if chain.is_full():
            # It came through the door together with others.
            chain.turned_away(self.path)
            chain.refuse(rpc)
            return b""
        metadata = cast("Metadata", rpc.invocation_metadata() or ())
        call = context.Call(self.path, _request_id(metadata), self._deadline(rpc, began))
        context.begin(call)
        structlog.contextvars.bind_contextvars(request_id=call.request_id)
        rpc.set_trailing_metadata(((REQUEST_ID_HEADER, call.request_id),))
        ended = chain.observer.begin(call, metadata) if chain.observer else None
        limit = asyncio.timeout(max(0.0, call.deadline - began))
        outcome = _OK
        chain.in_hand += 1
        try:
            async with limit:
                if not self.rule.public:
                    call.principal = await authenticate(chain.verifier, metadata)
                if self.planned:
                    raise NotImplementedYet(f"{self.path} is part of the contract, not yet served.")
                return await work(await accept(incoming, call), rpc)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                outcome = _CANCELLED
                raise
            if isinstance(error, _CallerGone):
                outcome = _CANCELLED
                raise asyncio.CancelledError from error
            known = _known(error, call, timed_out=limit.expired())
            outcome = {"code": failure.code_of(known).name, "reason": failure.reason_of(known)}
            await _abort(
                rpc, known, call.request_id, _ABORT_SECONDS if self.server_streaming else None
            )
            return None  # It raises.
        finally:
            chain.in_hand -= 1
            seconds = time.monotonic() - began
            log.info(
                "call",
                method=self.path,
                **outcome,
                ms=round(seconds * 1000, 2),
                principal=call.principal.id if call.principal else None,
            )
            if ended is not None:
                ended(outcome["code"], seconds)

    def _deadline(self, rpc: RpcContext, now: float) -> float:
        left = rpc.time_remaining()
        if self.client_streaming or self.server_streaming:
            most = default = self.chain.stream_deadline
        else:
            most, default = self.chain.max_deadline, self.chain.default_deadline
        return now + (default if left is None else min(left, most))

    async def _accept(self, data: bytes, call: context.Call, *, first: bool = True) -> Message:
        if len(data) <= _LARGE_BYTES:
            return self._check(data, call, first=first)
        # A thousand rows take tens of milliseconds: other calls go on meanwhile.
        return await asyncio.to_thread(self._check, data, call, first=first)

    def _check(self, data: bytes, call: context.Call, *, first: bool) -> Message:
        request = self._decode(data)
        # Later messages of a stream may leave the resource out; one that names it may not reach into another catalog.
        named = first or self.rule.catalog(request) is not None
        if named and call.principal is not None:
            self.rule.check(call.principal, request)
        validation.validate(request)
        return request

    async def _accept_stream(
        self, stream: AsyncIterator[bytes], call: context.Call
    ) -> AsyncIterator[Message]:
        """The requests of a stream. The first one names the resource and so decides whether the caller may: it is
        waited for before the service's own code runs. A caller that sends none is judged by an empty one."""
        incoming = aiter(stream)
        data = await anext(incoming, None)
        if data is None:
            if call.principal is not None:
                self.rule.check(call.principal, self.request_class())
            return self._requests(None, incoming, call)
        return self._requests(await self._accept(data, call), incoming, call)

    async def _requests(
        self, first: Message | None, incoming: AsyncIterator[bytes], call: context.Call
    ) -> AsyncIterator[Message]:
        if first is None:
            return
        yield first
        async for data in incoming:
            yield await self._accept(data, call, first=False)

    def _decode(self, data: bytes) -> Message:
        try:
            return self.request_class.FromString(data)
        except DecodeError:
            raise InvalidArgument(
                f"The request is not a {self.request_class.DESCRIPTOR.full_name}.",
                reason=reasons.ERROR_REASON_MALFORMED_REQUEST,
            ) from None


def is_implemented(servicer: Servicer, method: str) -> bool:
    """Whether a servicer has a method of its own, not just the generated one."""
    for kind in type(servicer).__mro__:
        if method in vars(kind):
            return not kind.__module__.endswith("_pb2_grpc")
    return False


def _request_id(metadata: Metadata) -> str:
    for key, value in metadata:
        if key == REQUEST_ID_HEADER and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return str(uuid7())


def _known(error: BaseException, call: context.Call, *, timed_out: bool) -> RecmeshError:
    if isinstance(error, RecmeshError):
        known = error
    elif timed_out:
        known = DeadlineExceeded("The call took longer than its deadline allows.")
    else:
        known = failure.unknown(call.request_id)
    if failure.code_of(known) is grpc.StatusCode.INTERNAL:
        log.error("defect", method=call.method, exc_info=error)
    return known


async def _abort(
    rpc: RpcContext, error: RecmeshError, request_id: str, seconds: float | None
) -> None:
    status = failure.status(error)
    trailing = (
        (STATUS_DETAILS_HEADER, status.SerializeToString()),
        (REQUEST_ID_HEADER, request_id),
    )
    try:
        async with asyncio.timeout(seconds):
            await rpc.abort(failure.code_of(error), status.message, trailing)
    except (TimeoutError, *_UNSENT):
        # grpc lets go of the call without a word of its own.
        raise asyncio.CancelledError from error
