"""Where the services are, as told by options and the environment."""

from __future__ import annotations

from dataclasses import dataclass

from recmesh_client import Client, Credentials, Targets, Tls


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a deployment.

    Attributes:
        targets: Where its services are.
        tls: How connections are secured; None for not at all.
        timeout: Seconds that a call may take.
    """

    targets: Targets
    tls: Tls | None
    timeout: float

    def client(self, credentials: Credentials | None = None) -> Client:
        """A client. Nothing is sent before its first call."""
        return Client.connect(
            self.targets, credentials=credentials, tls=self.tls, timeout=self.timeout
        )
