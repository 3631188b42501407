"""Real PostgreSQL and RabbitMQ for tests, started by the run itself when a test first asks.

`DATABASE_URL` and `AMQP_URL`, if set, name servers to be used instead. `DATABASE_URL` is an
admin's; `AMQP_URL` is one vhost, and so for runs with one process only.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localmesh.children import launcher, log_tail
from localmesh.databases import PostgresServer
from localmesh.paths import checkout_paths, private_dir

HOST_VARIABLE = "RECMESH_TEST_HOST"
_ANSWER_SECONDS = 120.0
_STOP_SECONDS = 60.0
_SPARE_VHOSTS = 4
"""For test processes that take the place of crashed ones."""
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
def worker_index() -> int:
    """The number of this test process, from 0."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


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
