"""A scriptable fake of every service of the contract, on a real server. A call without a scripted answer, and a
scripted answer that nobody asked for, fail the test.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from recmesh_client.wire.contract import services

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True)
class Failure:
    """An answer that is an error; `reason` without its prefix, none, nor a request id, for a status as the transport
    makes it.
    """

    code: grpc.StatusCode
    reason: str = ""
    message: str = "no"
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    request_id: str = "r-1"

    async def abort(self, context: Context) -> None:
        trailing: list[tuple[str, str | bytes]] = []
        if self.request_id:
            trailing.append(("x-request-id", self.request_id))
        if self.reason:
            trailing.append(("grpc-status-details-bin", self._status()))
        await context.abort(self.code, self.message, tuple(trailing))

    def _status(self) -> bytes:
        details: list[Message] = [
            error_details_pb2.ErrorInfo(
                reason=f"ERROR_REASON_{self.reason}", domain="recmesh", metadata=self.metadata
            )
        ]
        if self.fields:
            violations = [
                error_details_pb2.BadRequest.FieldViolation(field=name, description=text)
                for name, text in self.fields.items()
            ]
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromMicroseconds(round(self.retry_after * 1e6))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        number: int = self.code.value[0]
        status = status_pb2.Status(code=number, message=self.message, details=packed)
        return bytes(status.SerializeToString())


class Hang:
    """An answer that never comes; `asked` and `cancelled` are set when the call begins and when it ends."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def wait(self) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


One = Message | Failure | Hang
Answer = One | Sequence[One]
"""A sequence for a method that streams."""


@dataclass(frozen=True)
class Call:
    """A call that came in; one message for each that the caller sent."""

    method: str
    requests: list[Any]
    metadata: dict[str, str]
    seconds: float

    @property
    def request(self) -> Any:
        return self.requests[0]


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens but who is told of it: nobody else is given its port meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


class Fake(grpc.GenericRpcHandler):
    """Answers what it was told to, in that order.

    Args:
        target: The address of its own, to which it comes back after a stop.
        credentials: Of the server; None for plain text.
    """

    def __init__(self, target: str, credentials: grpc.ServerCredentials | None) -> None:
        self.calls: list[Call] = []
        self.unexpected: list[str] = []
        self.unread = False
        self.target = target
        self._credentials = credentials
        self._methods: dict[str, MethodDescriptor] = {
            f"/{service.full_name}/{method.name}": method
            for service in services()
            for method in service.methods
        }
        self._scripted: dict[str, deque[Answer]] = defaultdict(deque)
        self._defaults: dict[str, Callable[[Any], Answer]] = {}
        self._server: grpc.aio.Server | None = None

    def script(self, method: str, *answers: Answer) -> None:
        """Answers for the next calls of a method, one each; every one must be asked for."""
        assert method in {known.name for known in self._methods.values()}
        self._scripted[method].extend(answers)

    def always(self, method: str, answer: Callable[[Any], Answer]) -> None:
        """The answer of a method when nothing is scripted, asked for or not."""
        self._defaults[method] = answer

    def of(self, method: str) -> list[Call]:
        """The calls of a method."""
        return [call for call in self.calls if call.method == method]

    async def start(self) -> None:
        """Listens."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
        self._server.add_generic_rpc_handlers((self,))
        if self._credentials is None:
            self._server.add_insecure_port(self.target)
        else:
            self._server.add_secure_port(self.target, self._credentials)
        await self._server.start()

    async def stop(self) -> None:
        """Cuts every connection."""
        assert self._server is not None
        await self._server.stop(None)

    def verify(self) -> None:
        """Raises AssertionError unless everything went by the script."""
        unused = {name: len(left) for name, left in self._scripted.items() if left}
        assert not unused, f"scripted and never asked for: {unused}"
        assert not self.unexpected, f"asked for and not scripted: {self.unexpected}"

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = self._methods.get(handler_call_details.method)
        if method is None:
            return None
        kinds = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
        }
        streams = bool(method.server_streaming)
        answer = self._streaming(method) if streams else self._unary(method)
        kind: Any = kinds[bool(method.client_streaming), streams]
        handler: grpc.RpcMethodHandler[Any, Any] = kind(
            answer,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        return handler

    def _unary(self, method: MethodDescriptor) -> Callable[[Any, Context], Any]:
        async def answer(asked: Any, context: Context) -> Message | None:
            requests = [asked]
            if method.client_streaming:
                requests = [] if self.unread else [request async for request in asked]
            found = await self._next(method.name, requests, context)
            assert not isinstance(found, Sequence)
            return await _settled(found, context)

        return answer

    def _streaming(self, method: MethodDescriptor) -> Callable[[Any, Context], Any]:
        async def answer(asked: Any, context: Context) -> AsyncIterator[Message]:
            found = await self._next(method.name, [asked], context)
            for one in found if isinstance(found, Sequence) else [found]:
                message = await _settled(one, context)
                assert message is not None
                yield message

        return answer

    async def _next(self, method: str, requests: list[Any], context: Context) -> Answer:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        self.calls.append(Call(method, requests, metadata, context.time_remaining() or 0))
        if self._scripted[method]:
            return self._scripted[method].popleft()
        if method in self._defaults:
            return self._defaults[method](requests[0] if requests else None)
        self.unexpected.append(method)
        return Failure(grpc.StatusCode.DATA_LOSS, message=f"{method} is not scripted")


async def _settled(one: One, context: Context) -> Message | None:
    match one:
        case Failure():
            await one.abort(context)
            return None
        case Hang():
            await one.wait()
            return None
        case _:
            return one


@asynccontextmanager
async def running(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[Fake]:
    """A fake that listens, held to its script at the end."""
    with nobody() as target:
        fake = Fake(target, credentials)
        await fake.start()
        try:
            yield fake
        finally:
            await fake.stop()
    fake.verify()
