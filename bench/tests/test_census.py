"""What members of a mesh hold."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.harness.census import look

_LISTENS = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    taken = server.accept()
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[tuple[int, int]]:
    """A process that listens, and its port."""
    command = [sys.executable, "-c", _LISTENS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)):
            assert child.stdout.readline() == b"taken\n"
            yield child.pid, port
        child.kill()


def test_connections_are_counted_by_whose_port_is_at_the_other_end(
    server: tuple[int, int],
) -> None:
    found = look({"tests": os.getpid(), "server-0": server[0]})

    assert found["tests"].connections["server"] == 1
    assert found["server-0"].connections == {}
    for one in found.values():
        assert 0 < one.memory_mb <= one.resident_mb
        assert one.threads >= one.processes >= 1
        assert one.files >= 3
    # The child is the parent's, too.
    assert found["tests"].memory_mb > found["server-0"].memory_mb


def test_who_is_not_there_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()

    assert look({"gone": gone.pid}) == {}
