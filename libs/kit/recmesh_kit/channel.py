"""Channels to other services of the mesh: spread over the replicas, with deadlines, retries and a sign-in."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from opentelemetry.trace import SpanKind
from structlog.contextvars import get_contextvars

from recmesh_kit import context
from recmesh_kit.errors import DeadlineExceeded, Unavailable
from recmesh_kit.telemetry.place import current_place
from recmesh_kit.telemetry.tracing import Tracing, recorded

log = structlog.get_logger()

ANSWER_SECONDS = 0.05
"""What is kept back of the caller's deadline, to answer it."""
RENEW_SECONDS = 60.0
"""How long before it runs out a token is renewed."""
RETRY_SECONDS = 5.0
"""The least time between two tries to renew a token that is good yet."""

Details = grpc.aio.ClientCallDetails
_AWAY = (
    grpc.StatusCode.UNAVAILABLE,
    # What gRPC makes of calls that a server which stops has not looked at. Those that this side cancels have no status.
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class TokenPairMessage(Protocol):
    """What a sign-in answers, as `recmesh.auth.v1.TokenPair` has it."""

    access_token: str
    expires_in: int


class ServiceCredentials:
    """A service's own sign-in, renewed before it runs out.

    Args:
        exchange: Calls `AuthService.ExchangeApiKey` with the service's key.
    """

    def __init__(self, exchange: Callable[[], Awaitable[TokenPairMessage]]) -> None:
        self._exchange = exchange
        self._token = ""
        self._renew_at = 0.0
        self._expires_at = 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """An access token. Errors of `exchange` pass through, unless the token at hand is good yet."""
        if time.monotonic() >= self._renew_at:
            async with self._lock:
                if time.monotonic() >= self._renew_at:
                    await self._renew()
        return self._token

    async def _renew(self) -> None:
        asked_at = time.monotonic()
        try:
            pair = await self._exchange()
        except Exception as error:
            if time.monotonic() >= self._expires_at:
                raise
            log.warning("token not renewed", error=str(error))
            self._renew_at = time.monotonic() + RETRY_SECONDS
            return
        self._token = pair.access_token
        self._expires_at = asked_at + pair.expires_in
        self._renew_at = asked_at + max(pair.expires_in - RENEW_SECONDS, pair.expires_in / 2)


def connect(
    target: str,
    services: Sequence[ServiceDescriptor],
    *,
    timeout_seconds: float,
    credentials: ServiceCredentials | None = None,
    tracing: Tracing | None = None,
) -> grpc.aio.Channel:
    """A channel to a service, for unary calls and for streams of answers: what streams requests would go out without
    deadline, request id and token. Connects at the first call.

    Args:
        target: `host:port`; every address that DNS gives for the host takes its turn.
        services: What will be called. Methods that the contract marks as free of side effects or idempotent are
            retried when the service is away; others never are.
        timeout_seconds: Deadline of a call that does not say, or less when the call in hand has less left. When nothing
            is left no call is made: it ends with `errors.DeadlineExceeded`.
        credentials: Signs the calls; None for public methods.
        tracing: Makes a span of each unary call.
    """
    address = target if "://" in target else f"dns:///{target}"
    outgoing = _Outgoing(timeout_seconds, credentials)
    tracing = tracing or Tracing()
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.service_config", json.dumps(service_config(services))),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # By default a second, growing to two minutes: a service that came back would be away for that much longer.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            # By default half a minute: when all replicas are replaced within that, nobody would know where they are.
            ("grpc.dns_min_time_between_resolutions_ms", 1_000),
            # What the service may send is limited by the service.
            ("grpc.max_receive_message_length", -1),
        ],
        interceptors=[_OutgoingCall(outgoing, tracing), _OutgoingStream(outgoing)],
    )


def service_config(services: Sequence[ServiceDescriptor]) -> dict[str, Any]:
    """gRPC's service config: round robin, and retries of the methods that bear one."""
    repeatable = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    ]
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if repeatable:
        config["methodConfig"] = [{"name": repeatable, "retryPolicy": retry}]
    return config


class _Outgoing:
    """Adds deadline, request id and token to each call."""

    def __init__(self, timeout: float, credentials: ServiceCredentials | None) -> None:
        self._timeout = timeout
        self._credentials = credentials

    async def details(self, details: Details) -> Details:
        """The same, with what is added."""
        metadata = list(details.metadata or ())
        request_id = get_contextvars().get("request_id")
        if request_id:
            metadata.append(("x-request-id", str(request_id)))
        here = current_place()
        if here is not None:
            metadata += here.headers.items()
        if self._credentials is not None:
            metadata.append(("authorization", f"Bearer {await self._credentials.token()}"))
        left = context.remaining()
        timeout = self._timeout if details.timeout is None else details.timeout
        if left is not None:
            timeout = min(timeout, left - ANSWER_SECONDS)
            if timeout <= 0:
                raise DeadlineExceeded("The call took longer than its deadline allows.")
        return Details(
            method=details.method,
            timeout=timeout,
            metadata=grpc.aio.Metadata(*metadata),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


# Two, because grpc takes an interceptor for calls of one kind.


class _OutgoingCall(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, outgoing: _Outgoing, tracing: Tracing) -> None:
        self._outgoing = outgoing
        self._tracing = tracing

    async def intercept_unary_unary(
        self, continuation: Callable[[Details, Any], Any], details: Details, request: Any
    ) -> Any:
        if self._tracing.tracer is None or not recorded():
            return await continuation(await self._outgoing.details(details), request)
        method = details.method[1:]
        if isinstance(method, bytes):
            method = method.decode()
        with self._tracing.spans(
            method,
            [current_place()],
            kind=SpanKind.CLIENT,
            attributes={"rpc.system.name": "grpc", "rpc.method": method},
        ):
            call = await continuation(await self._outgoing.details(details), request)
            # Its end is that of the span.
            await call
            return call


class _OutgoingStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_unary_stream(
        self, continuation: Callable[[Details, Any], Any], details: Details, request: Any
    ) -> Any:
        return await continuation(await self._outgoing.details(details), request)


@asynccontextmanager
async def calling(name: str) -> AsyncIterator[None]:
    """Around a call of another service: its being away becomes ours.

    Args:
        name: The service, for the error's metadata.

    Raises:
        Unavailable: It does not answer, not in time, or takes no more calls. Other errors of the call pass through.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() in _AWAY:
            log.warning("dependency", name=name, code=error.code().name, error=error.details())
            raise Unavailable(
                f"The {name} service does not answer for now: try again soon.",
                metadata={"dependency": name},
            ) from error
        raise
