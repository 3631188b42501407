import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

STAND_IN = """
import json, os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

def main(name):
    if sys.argv[1:] == ["migrate"]:
        Path(f"{name}.migrated").touch()
        return
    if Path(f"{name}.breaks").exists():
        sys.exit("the stand-in was told to break")
    # Whole: of a service there may be two, which write at the same time.
    new = Path(f"{name}.env.{os.getpid()}")
    new.write_text(json.dumps(dict(os.environ)))
    new.replace(f"{name}.env")
    if Path(f"{name}.silent").exists():
        signal.pause()
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    stopping = threading.Event()
    if not Path(f"{name}.deaf").exists():
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    status = "NOT_SERVING" if Path(f"{name}.unready").exists() else "SERVING"
    servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(os.environ["RECMESH_LISTEN"])
    server.start()
    stopping.wait()
    server.stop(None).wait()
"""


class Checkout:
    """A folder with stand-ins for the services, in which meshes are run by the command line."""

    def __init__(self, root: Path, offset: int, person: dict[str, str]) -> None:
        self.root = root
        self.offset = offset
        self.person = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "RECMESH_PORT_OFFSET": str(self.offset),
            **person,
        }
        (root / "stand_in.py").write_text(STAND_IN)
        for service in ("auth", "catalog", "recommender", "worker"):
            package = root / f"recmesh_{service}"
            package.mkdir()
            # Without it the real package, if installed, would come first.
            (package / "__init__.py").touch()
            (package / "__main__.py").write_text(f"import stand_in\nstand_in.main('{service}')\n")

    def spawn(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(  # noqa: S603 - a list, no shell
            [
                # What runs in a shell's background ignores Ctrl-C, and hands that on.
                *("env", "--default-signal=INT"),
                *(sys.executable, "-m", "localmesh", "--root", str(self.root), *arguments),
            ],
            env=self.person,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def call(self, *arguments: str) -> tuple[int, str]:
        with self.spawn(*arguments) as process:
            try:
                output, _ = process.communicate(timeout=900)
            except subprocess.TimeoutExpired:
                process.terminate()
                raise
        return process.returncode, output

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.root / ".local/mesh.json").read_text())
        return state

    def member(self, name: str) -> dict[str, Any]:
        return next(member for member in self.state()["members"] if member["name"] == name)

    def processes(self) -> list[str]:
        """The command lines of all that runs for this folder."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                here = process.cwd().startswith(str(self.root))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if here or any(str(self.root) in word for word in words):
                found.append(" ".join(words))
        return found

    def ended(self) -> None:
        """Wait until nothing runs: what was killed is yet to be seen to end."""
        self.until(lambda: not self.processes())

    def pid(self, name: str) -> int:
        """The process of a member that is healthy."""
        self.until(lambda: self.member(name)["state"] == "healthy")
        pid: int = self.member(name)["pid"]
        return pid

    def until(self, condition: Callable[[], object], seconds: float = 300) -> None:
        """Wait for a condition. A file that is not there yet counts as no."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except FileNotFoundError:
                pass
            assert time.monotonic() < deadline, self.processes()
            time.sleep(0.05)

    def clean_up(self) -> None:
        self.call("down")
        self.ended()


@pytest.fixture
def checkout(tmp_path: Path, free_offset: Callable[[], int]) -> Iterator[Checkout]:
    """Its mesh starts no RabbitMQ: the stand-ins need none."""
    person = {"AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/none"}
    checkout = Checkout(tmp_path, free_offset(), person)
    yield checkout
    checkout.clean_up()


@pytest.fixture(scope="module")
def mesh(
    tmp_path_factory: pytest.TempPathFactory, free_offset: Callable[[], int]
) -> Iterator[Checkout]:
    """A whole mesh with two workers and two recommenders that is up, and watched."""
    folder = tmp_path_factory.mktemp("mesh")
    checkout = Checkout(folder, free_offset(), {"RECMESH_LOG_LEVEL": "debug"})
    code, output = checkout.call("up", "--workers", "2", "--recommenders", "2", "--monitoring=1")
    assert code == 0, output
    yield checkout
    checkout.clean_up()
