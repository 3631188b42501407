from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from localmesh.errors import MeshError
from localmesh.listening import listens
from localmesh.paths import Paths
from localmesh.restarting import Restarts, ask, await_end, chosen
from localmesh.state import MemberState, MeshState, take_lock

if TYPE_CHECKING:
    from localmesh.mesh import Mesh
    from tools.localmesh.tests.conftest import Checkout

NAMES = ("postgres", "auth", "recommender", "recommender-1", "worker-0", "worker-1")


@pytest.fixture
def replicas(checkout: Checkout) -> Checkout:
    code, output = checkout.call("up", "--workers", "2", "--recommenders", "2")
    assert code == 0, output
    return checkout


def pids(checkout: Checkout) -> dict[str, int]:
    return {member["name"]: member["pid"] for member in checkout.state()["members"]}


def test_each_program_is_replaced_and_what_does_not_come_up_stays(replicas: Checkout) -> None:
    before = pids(replicas)
    code, output = replicas.call("restart")
    assert code == 0, output
    order = [line.split()[1] for line in output.splitlines() if line.startswith("restarted")]
    assert order == [*reversed(before)]
    after = pids(replicas)
    assert after.keys() == before.keys()
    assert not [name for name in before if before[name] == after[name]]
    assert {member["restarts"] for member in replicas.state()["members"]} == {0}

    (replicas.root / "recommender.breaks").touch()
    code, output = replicas.call("restart", "worker-1", "recommender", "auth")
    assert code == 1
    assert "recommender-1 ended with 1" in output
    assert "the stand-in was told to break" in output
    broken = pids(replicas)
    assert {name for name in after if after[name] != broken[name]} == {"worker-1"}
    assert replicas.call("status")[0] == 0

    # The next one is not held up by it.
    (replicas.root / "recommender.breaks").unlink()
    assert replicas.call("restart", "recommender-1")[0] == 0
    assert pids(replicas)["recommender-1"] != broken["recommender-1"]


def test_a_mesh_that_stops_ends_both_processes(replicas: Checkout) -> None:
    # The new one never listens, so that the old one is there as well.
    (replicas.root / "worker.silent").touch()
    with replicas.spawn("restart", "worker-0") as restarting:
        replicas.until(lambda: replicas.member("worker-0")["state"] == "replacing")
        replicas.until(lambda: len(workers(replicas)) > 2)
        code, output = replicas.call("down")
        assert code == 0, output
        said, _ = restarting.communicate(timeout=400)
    assert restarting.returncode == 1
    assert "the mesh stopped meanwhile" in said
    replicas.ended()


def workers(checkout: Checkout) -> list[str]:
    return [line for line in checkout.processes() if line.endswith("-m recmesh_worker")]


def test_without_a_mesh_there_is_nothing_to_restart(checkout: Checkout) -> None:
    code, output = checkout.call("restart")
    assert code == 1
    assert "the mesh is not running" in output


def mesh() -> MeshState:
    members = [MemberState(name, "", "healthy", 0, 1, 1) for name in NAMES]
    return MeshState(1, "ready", members=members)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ((), [*reversed(NAMES)]),
        (("auth", "worker"), ["worker-1", "worker-0", "auth"]),
        (("recommender",), ["recommender-1", "recommender"]),
        (("worker-0",), ["worker-0"]),
    ],
)
def test_what_needs_others_goes_first(wanted: tuple[str, ...], found: list[str]) -> None:
    assert chosen(mesh(), wanted) == found


def test_what_does_not_run_is_told() -> None:
    with pytest.raises(MeshError, match="there is no catalog: postgres, auth, "):
        chosen(mesh(), ["auth", "catalog"])


def test_one_restart_at_a_time(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    ask(paths, ["auth"])
    with pytest.raises(MeshError, match="another restart"):
        ask(paths, ["auth"])
    assert [path.name for path in tmp_path.iterdir()] == ["restart.json"]


class Slow:
    """A mesh whose programs are replaced when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def restart(self, name: str) -> None:
        self.asked.set()
        await self.outcome


@pytest.mark.parametrize("failure", [MeshError("it broke"), ValueError("it broke")])
async def test_while_one_is_in_hand_another_is_refused(tmp_path: Path, failure: Exception) -> None:
    paths, mesh, over = Paths(tmp_path), Slow(), asyncio.Event()
    paths.restart.touch()

    def changed() -> None:
        if restarts.known[-1].over:
            over.set()

    restarts = Restarts(paths, changed)
    # That of a supervisor that was killed is not done.
    assert not paths.restart.exists()
    serving = asyncio.create_task(restarts.serve(cast("Mesh", mesh)))
    try:
        async with asyncio.timeout(60):
            ask(paths, ["auth", "worker-0"])
            await mesh.asked.wait()
            with pytest.raises(MeshError, match="another restart"):
                ask(paths, ["auth"])
            mesh.outcome.set_exception(failure)
            await over.wait()
        [known] = restarts.known
        assert (known.done, known.error) == ([], "it broke")
        ask(paths, ["auth"])
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_an_outcome_is_known_when_the_next_restart_is_in_hand(tmp_path: Path) -> None:
    paths, mesh, over = Paths(tmp_path), Slow(), asyncio.Event()
    mesh.outcome.set_result(None)
    lock = take_lock(paths)
    assert lock is not None

    def changed() -> None:
        MeshState(os.getpid(), "ready", restarts=restarts.known).write(paths)
        if restarts.known[-1].over:
            over.set()

    restarts = Restarts(paths, changed)
    serving = asyncio.create_task(restarts.serve(cast("Mesh", mesh)))
    try:
        async with asyncio.timeout(60):
            first = ask(paths, ["auth"])
            await over.wait()
            mesh.outcome = asyncio.get_running_loop().create_future()
            mesh.asked.clear()
            ask(paths, ["worker-0"])
            await mesh.asked.wait()
            # Who asked for the first one was slow to look.
            heard: list[str] = []
            state = await asyncio.to_thread(await_end, paths, first, heard.append)
        assert heard == ["auth"]
        assert [(known.done, known.over) for known in state.restarts] == [
            (["auth"], True),
            ([], False),
        ]
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        os.close(lock)


async def test_a_mesh_that_stops_ends_also_a_restart_that_hides_it(tmp_path: Path) -> None:
    paths, names = Paths(tmp_path), list[str]()
    begun = asyncio.Event()

    class Deaf:
        async def restart(self, name: str) -> None:
            names.append(name)
            begun.set()
            # As `asyncio.wait_for` before Python 3.12, which libraries use.
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    restarts = Restarts(paths, lambda: None)
    serving = asyncio.create_task(restarts.serve(cast("Mesh", Deaf())))
    async with asyncio.timeout(60):
        ask(paths, ["auth", "worker-0"])
        await begun.wait()
    serving.cancel()
    await asyncio.wait([serving], timeout=60)
    try:
        assert serving.done()
        assert names == ["auth"]
    finally:
        serving.cancel()


def test_who_listens_is_known_by_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens(os.getpid(), port)
        assert not listens(os.getppid(), port)
        with socket.socket() as quiet:
            quiet.bind(("127.0.0.1", 0))
            assert not listens(os.getpid(), quiet.getsockname()[1])
    assert not listens(os.getpid(), port)
    assert not listens(2**22 + 1, port)
