"""Where things lie. Everything that the local mesh writes is below one folder, `.local`."""

from dataclasses import dataclass
from pathlib import Path

from localmesh.errors import MeshError


@dataclass(frozen=True)
class Paths:
    """The files and folders below `local`, the folder that may be deleted to start afresh."""

    local: Path

    @property
    def secrets(self) -> Path:
        """Passwords and keys, made at the first start (folder 0700, files 0600)."""
        return self.local / "secrets"

    @property
    def logs(self) -> Path:
        """One `<name>.log` for each process."""
        return self.local / "logs"

    @property
    def postgres(self) -> Path:
        """The data of PostgreSQL."""
        return self.local / "postgres"

    def rabbitmq_of(self, nodes: int) -> Path:
        """The home, configuration and data of RabbitMQ: of one node, or of a cluster, in a folder for each of them."""
        return self.local / ("rabbitmq" if nodes == 1 else f"rabbitmq-{nodes}")

    @property
    def restart(self) -> Path:
        """What is to be restarted, until it is."""
        return self.local / "restart.json"

    @property
    def tools(self) -> Path:
        """Programs that were fetched, a folder for each package."""
        return self.local / "tools"

    @property
    def prometheus(self) -> Path:
        """The configuration and data of Prometheus."""
        return self.local / "prometheus"

    @property
    def lock(self) -> Path:
        """Held with flock by the supervisor for as long as it lives."""
        return self.local / "mesh.lock"

    @property
    def state(self) -> Path:
        """What the supervisor runs at the moment, as JSON."""
        return self.local / "mesh.json"

    @property
    def restoring(self) -> Path:
        """There while tables, keys and broker may be of different times."""
        return self.local / "restoring"

    @property
    def test_runs(self) -> Path:
        """One folder for each running pytest."""
        return self.local / "test"

    @property
    def test_log(self) -> Path:
        """What the hosts of test servers say."""
        return self.test_runs / "host.log"

    def refuse_half_restored(self) -> None:
        """Raise MeshError when a restoration was broken off."""
        if self.restoring.exists():
            raise MeshError(
                "a restoration was broken off, so that tables, keys and messages may not fit together: "
                "`python -m localmesh restore --force FILE`, then go on"
            )

    def make(self) -> None:
        """Create `local` and the folder of the logs. Raises MeshError when that is refused."""
        try:
            private_dir(self.local)
            private_dir(self.logs)
        except PermissionError as error:
            msg = f"{self.local} belongs to another user: delete it as that user, then start again"
            raise MeshError(msg) from error


def private_dir(path: Path) -> Path:
    """Create `path` for this user alone (mode 0700) unless it exists, and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def checkout() -> Path:
    """The root of the checkout that this package lies in."""
    return Path(__file__).resolve().parents[3]


def checkout_paths() -> Paths:
    """The paths of this checkout's own mesh."""
    return Paths(checkout() / ".local")
