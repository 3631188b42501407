"""Real PostgreSQL and RabbitMQ for tests, started by the run itself when a test first asks.

`DATABASE_URL` and `AMQP_URL`, if set, name servers to be used instead. `DATABASE_URL` is an
admin's; `AMQP_URL` is one vhost, and so for runs with one process only.
"""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from localmesh.children import launcher, log_tail
from localmesh.databases import PostgresServer
from localmesh.errors import MeshError
from localmesh.paths import checkout_paths, private_dir
from localmesh.ports import Ports, require_free
from recmesh_kit.layout import RoleName

HOST_VARIABLE = "RECMESH_TEST_HOST"
_ANSWER_SECONDS = 900.0
"""More than the limits of what the host starts, so that its error is the one that is told."""
_STOP_SECONDS = 60.0
_SPARE_VHOSTS = 4
"""For test processes that take the place of crashed ones."""
_MESH_OFFSETS = range(-40_000, -35_700, 50)
"""Of meshes in tests: no two share a port, and all ports are below those that `free_ports` gives."""
_SHARES = 8
_host_key = pytest.StashKey["subprocess.Popen[bytes]"]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the host of the servers, once a run; it waits to be asked for one."""
    if HOST_VARIABLE in os.environ or config.option.collectonly or config.option.help:
        return
    name = f"recmesh-test-{os.getpid()}-{os.urandom(8).hex()}"
    processes = config.getoption("numprocesses", default=None) or 1
    paths = checkout_paths()
    folder = private_dir(paths.test_runs) / str(os.getpid())
    # In Linux's abstract namespace: no path that could be too long, gone with the process.
    with socket.socket(socket.AF_UNIX) as listener, paths.test_log.open("ab") as log:
        listener.bind(f"\0{name}")
        listener.listen(64)
        config.stash[_host_key] = subprocess.Popen(  # noqa: S603 - a list, no shell
            [
                *launcher(signal.SIGTERM, "keep"),
                *(sys.executable, "-m", "localmesh.testhost", str(folder)),
                *(str(listener.fileno()), str(processes + _SPARE_VHOSTS)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )
    os.environ[HOST_VARIABLE] = name


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers and remove what they wrote."""
    host = config.stash.get(_host_key, None)
    if host is None:
        return
    del os.environ[HOST_VARIABLE]
    host.terminate()
    try:
        host.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        host.kill()
        host.wait()


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """A PostgreSQL server, shared by the run; make databases of your own in it."""
    return PostgresServer(**_ask("postgres"))


@pytest.fixture(scope="session")
def database_name(worker_index: int) -> str:
    """A name of a database that is this test process's own."""
    return f"test_{os.getpid()}_{worker_index}"


@pytest.fixture(scope="session")
def amqp_url(worker_index: int) -> str:
    """The admin's URL of a vhost that is this test process's own, empty at its start."""
    if url := os.environ.get("AMQP_URL"):
        if worker_index:
            pytest.fail("AMQP_URL names one vhost: run without -n, or unset it", pytrace=False)
        return url
    urls: list[str] = _ask("rabbitmq")["urls"]
    return urls[worker_index]


@pytest.fixture(scope="session")
def amqp_role_urls(worker_index: int) -> dict[RoleName, str]:
    """Role -> URL of the same vhost, with the rights of that service and no more."""
    if os.environ.get("AMQP_URL"):
        pytest.skip("AMQP_URL names one user")
    urls: list[dict[RoleName, str]] = _ask("rabbitmq")["role_urls"]
    return urls[worker_index]


@pytest.fixture(scope="session")
def free_offset(worker_index: int) -> Callable[[], int]:
    """Finds a port offset for a mesh of the test's own.

    Each test process has offsets that no other one takes, however long a mesh needs to listen.
    """
    share = list(_MESH_OFFSETS[worker_index % _SHARES :: _SHARES])
    # Another run on this machine begins elsewhere.
    random.shuffle(share)
    offsets = itertools.cycle(share)

    def find() -> int:
        for offset in itertools.islice(offsets, len(share)):
            with suppress(MeshError):
                require_free(_listening(Ports(offset)))
                return offset
        pytest.fail("no offset has all of its ports free", pytrace=False)

    return find


@pytest.fixture(scope="session")
def worker_index() -> int:
    """The number of this test process, from 0."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def _listening(ports: Ports) -> dict[str, int]:
    """What a mesh with two workers, two recommenders and three nodes of RabbitMQ listens on."""
    pair, nodes = range(2), range(3)
    found = (
        *(ports.auth, ports.catalog, ports.auth_metrics, ports.catalog_metrics),
        *(ports.recommender_at(index) for index in pair),
        *(ports.recommender_metrics_at(index) for index in pair),
        *(ports.worker(index) for index in pair),
        *(ports.worker_metrics(index) for index in pair),
        *(ports.postgres, ports.rabbitmq_nodes),
        *(ports.rabbitmq_at(index) for index in nodes),
        *(ports.rabbitmq_metrics_at(index) for index in nodes),
        ports.prometheus,
    )
    return {str(port): port for port in found}


def _ask(server: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(f"\0{os.environ[HOST_VARIABLE]}")
        except ConnectionRefusedError:
            log = log_tail(checkout_paths().test_log)
            pytest.fail(f"the host of the test servers has ended{log}", pytrace=False)
        connection.sendall(f"{server}\n".encode())
        with connection.makefile("rb") as answer:
            facts: dict[str, Any] = json.load(answer)
    if "error" in facts:
        pytest.fail(facts["error"], pytrace=False)
    return facts
