import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.data import films, people
from demo.setup import import_films, import_people, wait_known, wait_searchable
from localmesh.paths import Paths
from localmesh.ports import Ports, address
from localmesh.state import MemberState, running_state
from localmesh.vault import Vault
from recmesh_client import AsyncClient, Password, Targets
from recmesh_kit.telemetry.testing import Collector, collecting

START_SECONDS = 600
INDEX_SECONDS = 600


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
    def admin(self) -> Password:
        secrets = Vault(self.root / ".local" / "secrets")
        return Password("admin@recmesh.local", secrets.password("admin"))

    def client(self, credentials: Password | None = None) -> AsyncClient:
        return AsyncClient.connect(self.targets, credentials=credentials)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the mesh sends its traces."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def local_mesh(
    tmp_path_factory: pytest.TempPathFactory,
    free_offset: Callable[[], int],
    collector: Collector,
) -> Iterator[LocalMesh]:
    root = tmp_path_factory.mktemp("mesh")
    ports = Ports(free_offset())
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "AMQP_URL")},
        "RECMESH_PORT_OFFSET": str(ports.offset),
        # A lost lease is to be seen within seconds.
        "RECMESH_LEASE_SECONDS": "3",
        "RECMESH_SWEEP_SECONDS": "0.25",
        "RECMESH_OTLP_ENDPOINT": collector.endpoint,
        # Those that callers begin are enough.
        "RECMESH_TRACE_SAMPLE_RATIO": "0",
    }
    localmesh = [sys.executable, "-m", "localmesh", "--root", str(root)]
    subprocess.run(  # noqa: S603 - a list, no shell
        [*localmesh, "up", "--workers", "2", "--monitoring=1"],
        check=True,
        env=environment,
        timeout=START_SECONDS,
    )
    try:
        yield LocalMesh(
            root, Targets(address(ports.auth), address(ports.catalog), address(ports.recommender))
        )
    finally:
        subprocess.run([*localmesh, "down"], check=True, env=environment, timeout=300)  # noqa: S603


@pytest.fixture(scope="session")
async def admin(local_mesh: LocalMesh) -> AsyncIterator[AsyncClient]:
    """The mesh as its admin, with the films and the made-up people in it."""
    items, made_up = films(), people()
    async with local_mesh.client(local_mesh.admin) as client:
        done = await import_films(client, items)
        assert (done.created, done.failed) == (len(items), 0)
        done = await import_people(client, made_up)
        assert (done.created, done.failed) == (sum(len(p.interactions) for p in made_up), 0)
        await wait_searchable(client, INDEX_SECONDS)
        await wait_known(client, made_up[-1], INDEX_SECONDS)
        yield client


@pytest.fixture(scope="session")
async def user(local_mesh: LocalMesh, admin: AsyncClient) -> AsyncIterator[AsyncClient]:
    """The mesh as somebody who has just signed up."""
    ada = Password("ada@example.org", "correct horse")
    async with local_mesh.client() as client:
        await client.register(ada.email, ada.password)
        await client.sign_in(ada)
        yield client
