"""Asks a server how it is, over grpc.health.v1."""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_ASK_SECONDS = 10.0
_OPTIONS = (("grpc.enable_http_proxy", 0),)


async def serving(target: str) -> bool:
    """Whether the server at `target` (`host:port`) says SERVING for itself as a whole."""
    host, _, port = target.rpartition(":")
    try:
        # Cheaper than a channel, for a server that does not listen yet.
        async with asyncio.timeout(_ASK_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            await writer.wait_closed()
    except OSError:
        return False
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_ASK_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
