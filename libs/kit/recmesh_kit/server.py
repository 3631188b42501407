"""`serve()`: one gRPC server, from the first bind to the last drained call."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from recmesh_kit.chain.chain import Chain, Servicer
from recmesh_kit.health import Health
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.sockets import prefer_newest
from recmesh_kit.telemetry.telemetry import Telemetry
from recmesh_kit.tokens import TokenVerifier

log = structlog.get_logger()

STREAM_DEADLINE_SECONDS = 3600.0
_TURNED_AWAY = 8_000
"""Calls beyond those that are taken on that may be about to be turned away; more are turned away by gRPC, with the code
alone: each costs memory before the chain sees it."""
_COLLECT = (20_000, 20, 20)
"""Objects before a collection, and collections before an older generation is looked at. What a call makes is freed by
counting references, nearly all of it; Python's 700 mean a look for cycles every few calls, a tenth of their time."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the contract and the object that answers for it."""

    descriptor: ServiceDescriptor
    servicer: Servicer


async def start(
    settings: ServiceSettings,
    services: Sequence[Service],
    *,
    verifier: TokenVerifier,
    health: Health,
    telemetry: Telemetry | None = None,
) -> tuple[grpc.aio.Server, int]:
    """Binds and starts a server. It answers at once; `health` says when it serves.

    Args:
        settings: Address and limits.
        services: What is served.
        verifier: Verifies tokens.
        health: Says whether it serves.
        telemetry: Sees the calls.

    Returns:
        The server and the port that it listens on (the one that was free, for port 0).

    Raises:
        LookupError: The contract has a method without an authorisation rule.
        RuntimeError: The address cannot be bound.
    """
    telemetry = telemetry or Telemetry()
    chain = Chain(
        verifier,
        default_deadline=settings.default_deadline_seconds,
        max_deadline=settings.max_deadline_seconds,
        stream_deadline=STREAM_DEADLINE_SECONDS,
        max_calls=settings.max_concurrent_calls,
        observer=telemetry.calls,
    )
    telemetry.calls.in_hand(lambda: chain.in_hand)
    server = grpc.aio.server(
        options=_options(settings),
        maximum_concurrent_rpcs=settings.max_concurrent_calls + _TURNED_AWAY,
    )
    server.add_generic_rpc_handlers(
        tuple(chain.handler(service.descriptor, service.servicer) for service in services)
    )
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    described = [service.descriptor.full_name for service in services]
    health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection([*described, health_name, reflection.SERVICE_NAME], server)
    if settings.channelz:
        channelz.add_channelz_servicer(server)
    port = server.add_insecure_port(settings.listen)
    await health.start(described)
    await server.start()
    log.info("listening", address=settings.listen, port=port, services=described)
    return server, port


async def serve(
    settings: ServiceSettings,
    services: Sequence[Service],
    *,
    verifier: TokenVerifier,
    health: Health,
    telemetry: Telemetry | None = None,
    before_drain: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then stops gracefully: health down, calls drained within the limit. Where
    the port is shared it listens only once `health` says that it serves: until then all calls go to who is there.

    What the caller opened before (consumers, broker, engine) is closed by the caller after, in that order: an
    AsyncExitStack entered engine first does it.

    Args:
        settings: Address, limits and timeouts.
        services: What is served.
        verifier: Verifies tokens.
        health: Says SERVING once every component is up.
        telemetry: Sees the calls.
        before_drain: Called when the stop begins, to let go of calls that would wait long.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)
        if settings.share_port and not await _ready(health, stop):
            return
        server, port = await start(
            settings, services, verifier=verifier, health=health, telemetry=telemetry
        )
        if settings.share_port:
            prefer_newest(port)
        # What is there by now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        await stop.wait()
        log.info("stopping", drain_seconds=settings.drain_seconds)
        await shut_down(server, settings, health, before_drain)


async def _ready(health: Health, stop: asyncio.Event) -> bool:
    """Waits until all is up; False when it is told to stop first."""
    serving = asyncio.create_task(health.wait_serving(), name="wait until ready")
    stopped = asyncio.create_task(stop.wait(), name="wait for the stop")
    waits = (serving, stopped)
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return not stop.is_set()
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


async def shut_down(
    server: grpc.aio.Server,
    settings: ServiceSettings,
    health: Health,
    before_drain: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Takes health down, lets the calls in hand end within `drain_seconds` in all, then cuts the rest off."""
    await health.drain()
    clock = asyncio.get_running_loop().time
    end = clock() + settings.drain_seconds
    try:
        if before_drain is not None:
            async with asyncio.timeout_at(end):
                await before_drain()
    except TimeoutError:
        log.warning("letting go of calls takes too long")
    finally:
        await server.stop(max(0.0, end - clock()))
        log.info("stopped")


def _options(settings: ServiceSettings) -> list[tuple[str, int]]:
    milliseconds = 1000
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
        ("grpc.keepalive_time_ms", settings.keepalive_seconds * milliseconds),
        ("grpc.keepalive_timeout_ms", 10 * milliseconds),
        ("grpc.http2.min_ping_interval_without_data_ms", 10 * milliseconds),
        ("grpc.max_connection_age_ms", settings.max_connection_age_seconds * milliseconds),
        (
            "grpc.max_connection_age_grace_ms",
            settings.max_connection_age_grace_seconds * milliseconds,
        ),
        # Calls that wait for the event loop to take them: of more than this gRPC cancels some or all, without a word of
        # when to come back. Turned away here they hear of it.
        ("grpc.server.max_pending_requests", settings.max_concurrent_calls + _TURNED_AWAY),
        (
            "grpc.server.max_pending_requests_hard_limit",
            settings.max_concurrent_calls + _TURNED_AWAY,
        ),
        # Two servers on one port would share the calls without anybody knowing, unless that is wanted.
        ("grpc.so_reuseport", int(settings.share_port)),
    ]
