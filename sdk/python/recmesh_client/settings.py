"""Where the services are and how to call them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CALL_SECONDS = 30.0
STREAM_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the services are, `host:port` each.

    Attributes:
        auth: Accounts, sign-in, API keys.
        catalog: Catalogs, items, interactions.
        recommender: Recommendations, models, serving configs, queues.
    """

    auth: str
    catalog: str
    recommender: str

    @classmethod
    def one(cls, target: str) -> Targets:
        """One address for all: an ingress."""
        return cls(target, target, target)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Targets:
        """As `RECMESH_AUTH_TARGET`, `RECMESH_CATALOG_TARGET` and `RECMESH_RECOMMENDER_TARGET` say; for what they do not
        say, the ports of a mesh on this machine.
        """
        return cls(
            variables.get("RECMESH_AUTH_TARGET") or "localhost:50051",
            variables.get("RECMESH_CATALOG_TARGET") or "localhost:50052",
            variables.get("RECMESH_RECOMMENDER_TARGET") or "localhost:50053",
        )


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is secured. `Tls()` trusts what the system trusts. PEM, as bytes or as the path of a file.

    Attributes:
        ca: The authorities to trust; None for the system's.
        certificate: The client's own certificate chain, where the server asks for one.
        key: The certificate's private key.
        server_name: The name that the server's certificate must have; empty for the target's host.
    """

    ca: bytes | Path | None = None
    certificate: bytes | Path | None = None
    key: bytes | Path | None = field(default=None, repr=False)
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client certificate and its key go together")


@dataclass(frozen=True, slots=True)
class Retry:
    """How calls that may be repeated are repeated while a service is away or full. Calls that may not never are.

    The n-th wait is a random time up to `base * 2**n` seconds, at most `limit` ("full jitter"); where the server says
    how long to wait, it is that long and up to a quarter more. No wait goes past the deadline of the call.

    Attributes:
        attempts: Most tries of one call; 1 for no repeats.
        base: Seconds.
        limit: Seconds.
    """

    attempts: int = 6
    base: float = 0.1
    limit: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base <= 0 or self.limit <= 0:
            raise ValueError("attempts, base and limit must be above 0")
