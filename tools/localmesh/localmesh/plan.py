"""What a mesh is to consist of, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localmesh.paths import Paths
from localmesh.ports import Ports
from localmesh.vault import Vault


@dataclass(frozen=True)
class Plan:
    """The wish of the person who starts the mesh."""

    root: Path
    """The programs run in it, and `.local` lies in it."""
    ports: Ports
    workers: int
    person: Mapping[str, str] = field(repr=False)
    """The environment variables of that person."""
    recommenders: int = 1
    brokers: int = 1
    """Nodes of RabbitMQ; several are a cluster."""
    detours: Mapping[int, int] = field(default_factory=dict)
    """Port of a server -> port by which the services reach it instead, over something in between. It is there before
    the mesh starts. The mesh's own checks go direct."""
    monitoring: float = 0
    """Seconds between two looks of Prometheus at all metrics; 0: there is no Prometheus."""
    longest_pause: float = 30.0
    """Seconds. The pauses before a program that keeps on dying is started again grow up to it."""

    @property
    def paths(self) -> Paths:
        """Where the mesh keeps its files."""
        return Paths(self.root / ".local")

    def detour(self, port: int) -> int:
        """The port by which the services reach a server."""
        return self.detours.get(port, port)

    @property
    def vault(self) -> Vault:
        """Its passwords and keys."""
        return Vault(self.paths.secrets)
