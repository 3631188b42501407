import asyncio
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from demo.data import films, people
from demo.setup import import_films, import_people, wait_known, wait_searchable
from localmesh.paths import Paths
from localmesh.ports import Ports, address
from localmesh.postgres import ADMIN
from localmesh.servers import DATABASE
from localmesh.state import MemberState, running_state
from localmesh.vault import Vault
from recmesh_client import AsyncClient, Password, Targets
from recmesh_kit.provision import with_database
from recmesh_kit.telemetry.testing import Collector, collecting, scrape

START_SECONDS = 600
INDEX_SECONDS = 600
FOLLOW_SECONDS = 300


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

    async def followed(self) -> None:
        """Returns once every worker has all that the read model has now: each follows it at its own pace."""
        workers = [member.metrics for member in self.members("worker") if member.metrics]
        assert workers
        async with asyncio.timeout(FOLLOW_SECONDS):
            # The first time that one has caught up, it may have looked before now.
            for _ in range(2):
                since = time.monotonic()
                for worker in workers:
                    while await _caught_up(worker) <= since:  # noqa: ASYNC110 - nothing tells
                        await asyncio.sleep(0.1)

    def client(self, credentials: Password | None = None) -> AsyncClient:
        return AsyncClient.connect(self.targets, credentials=credentials)


async def _caught_up(worker: str) -> float:
    """When its memory last had all that the read model had, at the least, by this process's clock; long ago while it
    does not say so.
    """
    asked = time.monotonic()
    told = await asyncio.to_thread(scrape, worker)
    return asked - told.get(("recmesh_read_model_age_seconds", frozenset()), math.inf)


def require_alone(owner: Path) -> None:
    """Fails unless this is the only process of the run that starts the mesh: two would take each other's processors."""
    mine = str(os.getpid())
    try:
        with owner.open("x") as file:
            file.write(mine)
    except FileExistsError:
        if owner.read_text() != mine:
            pytest.fail(
                "the mesh runs already: tests go by groups, --dist loadgroup", pytrace=False
            )


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the mesh sends its traces."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="package")
def local_mesh(
    tmp_path_factory: pytest.TempPathFactory,
    free_offset: Callable[[], int],
    collector: Collector,
) -> Iterator[LocalMesh]:
    if "PYTEST_XDIST_WORKER" in os.environ:
        require_alone(tmp_path_factory.getbasetemp().parent / "mesh")
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


@pytest.fixture(scope="package")
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
        await local_mesh.followed()
        yield client


@pytest.fixture(scope="package")
async def user(local_mesh: LocalMesh, admin: AsyncClient) -> AsyncIterator[AsyncClient]:
    """The mesh as somebody who has just signed up."""
    ada = Password("ada@example.org", "correct horse")
    async with local_mesh.client() as client:
        await client.register(ada.email, ada.password)
        await client.sign_in(ada)
        yield client


@pytest.fixture
async def database(local_mesh: LocalMesh) -> AsyncIterator[asyncpg.Connection]:
    """The mesh's own, as its superuser."""
    (member,) = local_mesh.members("postgres")
    password = Vault(local_mesh.root / ".local" / "secrets").password("postgres")
    connection = await asyncpg.connect(
        with_database(f"postgresql://{ADMIN}:{password}@{member.address}/postgres", DATABASE)
    )
    yield connection
    await connection.close()
