import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.films import CATALOG, films
from demo.mesh import Mesh, Targets, signed_in
from localmesh.paths import Paths
from localmesh.ports import Ports, address
from localmesh.state import MemberState, running_state
from localmesh.vault import Vault

START_SECONDS = 180
INDEX_SECONDS = 120


@dataclass(frozen=True)
class LocalMesh:
    """A mesh of real processes, two workers among them."""

    root: Path
    targets: Targets

    def members(self, prefix: str = "") -> list[MemberState]:
        state = running_state(Paths(self.root / ".local"))
        assert state is not None
        return [member for member in state.members if member.name.startswith(prefix)]

    def log(self, name: str) -> str:
        return (self.root / ".local" / "logs" / f"{name}.log").read_text()

    @property
    def admin(self) -> tuple[str, str]:
        return "admin@recmesh.local", Vault(self.root / ".local" / "secrets").password("admin")


@pytest.fixture(scope="session")
def local_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    root = tmp_path_factory.mktemp("mesh")
    ports = Ports(random.randrange(-30_000, -26_000))  # noqa: S311 - below what the system hands out
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "AMQP_URL")},
        "RECMESH_PORT_OFFSET": str(ports.offset),
        # A lost lease is to be seen within seconds.
        "RECMESH_LEASE_SECONDS": "3",
        "RECMESH_SWEEP_SECONDS": "0.25",
    }
    localmesh = [sys.executable, "-m", "localmesh", "--root", str(root)]
    subprocess.run(  # noqa: S603 - a list, no shell
        [*localmesh, "up", "--workers", "2"], check=True, env=environment, timeout=START_SECONDS
    )
    try:
        yield LocalMesh(
            root, Targets(address(ports.auth), address(ports.catalog), address(ports.recommender))
        )
    finally:
        subprocess.run([*localmesh, "down"], check=True, env=environment, timeout=120)  # noqa: S603


@pytest.fixture(scope="session")
async def admin(local_mesh: LocalMesh) -> AsyncIterator[Mesh]:
    """The mesh as its admin, with the films in it."""
    items = films()
    async with signed_in(local_mesh.targets, *local_mesh.admin) as mesh:
        await mesh.ensure_catalog(CATALOG, "Films")
        done = await mesh.import_items(CATALOG, items)
        assert (done.created_count, done.failed_count) == (len(items), 0)
        await mesh.wait_searchable(CATALOG, items, INDEX_SECONDS)
        yield mesh


@pytest.fixture(scope="session")
async def user(local_mesh: LocalMesh, admin: Mesh) -> AsyncIterator[Mesh]:
    """The mesh as somebody who has just signed up."""
    async with Mesh(local_mesh.targets) as mesh:
        await mesh.register("ada@example.org", "correct horse")
        await mesh.login("ada@example.org", "correct horse")
        yield mesh
