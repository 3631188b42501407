"""For tests: a server on a free port, and tokens for whoever calls it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.rpc import error_details_pb2, status_pb2

from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_kit.chain.failure import DOMAIN
from recmesh_kit.health import Health
from recmesh_kit.principal import Principal, RoleSet
from recmesh_kit.server import Service, shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.tokens import LocalKeys, TokenSigner, TokenVerifier

KID = "test"
TOKEN_SECONDS = 24 * 3600
"""Longer than any run of the tests: some are made once, at its beginning."""
_key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
signer = TokenSigner(_key, KID)
verifier = TokenVerifier(LocalKeys({KID: _key.public_key()}))

USER: RoleSet = frozenset({roles.ROLE_USER})
EDITOR: RoleSet = frozenset({roles.ROLE_USER, roles.ROLE_EDITOR})
ADMIN: RoleSet = frozenset({roles.ROLE_USER, roles.ROLE_ADMIN})
SERVICE: RoleSet = frozenset({roles.ROLE_SERVICE})


def bearer(
    id: str,  # noqa: A002 - a principal's id is called so
    granted: RoleSet = USER,
    catalogs: Mapping[str, RoleSet] | None = None,
) -> tuple[tuple[str, str], ...]:
    """Call metadata that says who is calling."""
    token = signer.sign(Principal(id, granted, catalogs or {}), TOKEN_SECONDS)
    return (("authorization", f"Bearer {token}"),)


@asynccontextmanager
async def running(
    services: Sequence[Service],
    *,
    verifier: TokenVerifier = verifier,
    health: Health | None = None,
    **settings: object,
) -> AsyncIterator[grpc.aio.Channel]:
    """A server with these services on a free port of the loopback interface; yields a channel to it."""
    configured = ServiceSettings.model_validate(
        {"listen": "127.0.0.1:0", "drain_seconds": 1, **settings}
    )
    health = health or Health(())
    server, port = await start(configured, services, verifier=verifier, health=health)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await shut_down(server, configured, health)


def port_in(log: Path) -> int | None:
    """Where the program listens whose log of JSON lines this is; None as long as it does not."""
    *lines, _ = log.read_bytes().split(b"\n")
    for line in lines:
        if line.startswith(b"{") and (said := json.loads(line))["event"] == "listening":
            return int(said["port"])
    return None


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The `ErrorInfo.reason` of a failed call, without its prefix; empty when there is none."""
    for detail in status_of(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            reason: str = info.reason
            return reason.removeprefix("ERROR_REASON_")
    return ""


def fields_of(error: grpc.aio.AioRpcError) -> list[str]:
    """The fields that a failed call complains about."""
    for detail in status_of(error).details:
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request):
            return [violation.field for violation in request.field_violations]
    return []


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The rich status of a failed call; empty when there is none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
