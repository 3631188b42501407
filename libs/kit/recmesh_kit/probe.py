"""Asks a server how it is, over grpc.health.v1: `python -m recmesh_kit.probe HOST:PORT [SUBJECT]` exits with 0 when it
says SERVING, else with 1. For what runs containers and cannot ask by itself.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_ASK_SECONDS = 10.0
_OPTIONS = (("grpc.enable_http_proxy", 0),)


async def serving(target: str, subject: str = "") -> bool:
    """Whether the server at `target` (`host:port`) says SERVING for a subject, by default for itself as a whole."""
    host, _, port = target.rpartition(":")
    try:
        # Cheaper than a channel, for a server that does not listen yet.
        async with asyncio.timeout(_ASK_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
            await writer.wait_closed()
    except OSError:
        return False
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(
                health_pb2.HealthCheckRequest(service=subject), timeout=_ASK_SECONDS
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main() -> None:
    """Asks once, and exits."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m recmesh_kit.probe HOST:PORT [SUBJECT]")
    sys.exit(0 if asyncio.run(serving(*sys.argv[1:])) else 1)


if __name__ == "__main__":
    main()
