from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tools.localmesh.tests.conftest import Checkout


def test_down_stops_everything(checkout: Checkout) -> None:
    assert checkout.call("up")[0] == 0
    assert checkout.call("down") == (0, "the mesh is down\n")
    checkout.ended()
    assert checkout.call("status") == (3, "the mesh is not running\n")


def test_killed_supervisor_leaves_no_orphan(checkout: Checkout) -> None:
    (checkout.root / "catalog.deaf").touch()
    assert checkout.call("up")[0] == 0
    assert len(checkout.processes()) > 5
    os.kill(checkout.state()["pid"], signal.SIGKILL)
    checkout.ended()


def test_killed_supervisor_can_be_followed_at_once(checkout: Checkout) -> None:
    assert checkout.call("up")[0] == 0
    os.kill(checkout.state()["pid"], signal.SIGKILL)
    code, output = checkout.call("up")
    assert code == 0, output


@pytest.mark.parametrize("name", ["postgres", "auth", "worker-0"])
def test_interrupted_start_stops_everything(checkout: Checkout, name: str) -> None:
    # Thus it is always a start that is interrupted, however late it is seen.
    (checkout.root / "worker.unready").touch()
    with checkout.spawn("run") as supervisor:
        checkout.until(lambda: checkout.member(name)["state"] != "waiting")
        supervisor.send_signal(signal.SIGINT)
        supervisor.send_signal(signal.SIGINT)
        supervisor.communicate(timeout=400)
    assert supervisor.returncode == 130
    checkout.ended()


def test_interrupted_up_stops_what_it_started(checkout: Checkout) -> None:
    (checkout.root / "worker.unready").touch()
    with checkout.spawn("up") as starter:
        checkout.until(lambda: checkout.member("postgres")["state"] != "waiting")
        starter.send_signal(signal.SIGINT)
        starter.communicate(timeout=400)
    assert starter.returncode == 130
    checkout.ended()


def test_exec_starts_and_stops_its_own_mesh(checkout: Checkout) -> None:
    code, output = checkout.call("exec", "--", "sh", "-c", "echo up; exit 5")
    assert code == 5
    assert "up" in output.splitlines()
    checkout.ended()


def test_broken_child_is_shown_with_its_last_words(checkout: Checkout) -> None:
    (checkout.root / "catalog.breaks").touch()
    code, output = checkout.call("up")
    assert code == 1
    assert "localmesh: catalog ended with 1" in output
    assert "the stand-in was told to break" in output
    checkout.ended()


def test_taken_port_is_named_before_anything_starts(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 50052 + checkout.offset)):
        code, output = checkout.call("up")
    assert code == 1
    assert f"port {50052 + checkout.offset}, which catalog needs" in output
    assert not (checkout.root / ".local/postgres").exists()


def test_two_starts_at_once_make_one_mesh(checkout: Checkout) -> None:
    with checkout.spawn("up") as first, checkout.spawn("up") as second:
        outputs = [process.communicate(timeout=400)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert sum("already running" in output for output in outputs) == 1
    _, output = checkout.call("up", "--monitoring")
    assert "nothing watches it; for that: " in output
    assert output.endswith("--monitoring=5\n")
