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

    @property
    def paths(self) -> Paths:
        """Where the mesh keeps its files."""
        return Paths(self.root / ".local")

    @property
    def vault(self) -> Vault:
        """Its passwords and keys."""
        return Vault(self.paths.secrets)
