"""Connections to the services."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import grpc

from recmesh_client.settings import Targets, Tls

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # By default a second, growing to two minutes: a service that came back would be away for that much longer.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # By default half a minute: when all replicas are replaced within that, nobody would know where they are.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # What the service may send is limited by the service.
    ("grpc.max_receive_message_length", -1),
    ("grpc.primary_user_agent", "recmesh-client-python"),
)


class Channels:
    """A channel to each service, one for all that share an address. Connects at the first call.

    Args:
        targets: Where they are.
        tls: How to secure the connections; None for plain text.
    """

    def __init__(self, targets: Targets, tls: Tls | None) -> None:
        self._by_target = {
            target: _channel(target, tls)
            for target in dict.fromkeys((targets.auth, targets.catalog, targets.recommender))
        }
        self.auth = self._by_target[targets.auth]
        self.catalog = self._by_target[targets.catalog]
        self.recommender = self._by_target[targets.recommender]

    async def close(self) -> None:
        """Ends the calls in hand and closes the connections."""
        for channel in self._by_target.values():
            await channel.close()


def _channel(target: str, tls: Tls | None) -> grpc.aio.Channel:
    address = target if "://" in target else f"dns:///{target}"
    if tls is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_system_roots() if tls.ca is None else _pem(tls.ca),
        private_key=_pem(tls.key),
        certificate_chain=_pem(tls.certificate),
    )
    options = _OPTIONS
    if tls.server_name:
        options = (*options, ("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(address, credentials, options=options)


def _pem(source: bytes | Path | None) -> bytes | None:
    return source.read_bytes() if isinstance(source, Path) else source


def _system_roots() -> bytes | None:
    """The system's authorities; None, for those that come with gRPC, where Python finds none."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode() or None
