from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from recmesh_kit import probe

Status = health_pb2.HealthCheckResponse


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_a_server_is_asked_how_it_is(host: str) -> None:
    servicer = health.aio.HealthServicer()
    await servicer.set("liveness", Status.NOT_SERVING)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(f"{host}:0")
    except RuntimeError:
        pytest.skip("this machine has no such address")
    await server.start()
    try:
        assert await probe.serving(f"{host}:{port}")
        assert not await probe.serving(f"{host}:{port}", "liveness")
    finally:
        await server.stop(0)
    assert not await probe.serving(f"{host}:{port}")
