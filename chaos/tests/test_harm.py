"""What is broken is broken, and goes on afterwards: on stand-ins for the members of a mesh."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from chaos import harm
from chaos.breaking import BROKER, BROKERS, Disturbance, Kind
from chaos.harm import Harm
from localmesh.paths import Paths
from localmesh.state import MemberState, MeshState, born
from recmesh_kit.proxy import Proxy

LIMIT_SECONDS = 60
WITH_A_CHILD = "import os, time; os.fork(); time.sleep(600)"
Spawn = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            [sys.executable, "-c", WITH_A_CHILD], start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path)
    found.make()
    return found


def told(paths: Paths, *members: tuple[str, str, int]) -> None:
    """What the supervisor says runs: name, state, process id."""
    MeshState(
        1,
        "ready",
        members=[MemberState(n, "", state, 0, pid, born(pid)) for n, state, pid in members],
    ).write(paths)


def family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children()]
    except psutil.NoSuchProcess:
        return []


def stopped(processes: Iterable[psutil.Process]) -> list[bool]:
    return [process.status() == psutil.STATUS_STOPPED for process in processes]


async def whole_family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process and its child, once this is there. They are looked for once: on a busy machine that takes long."""
    await eventually(lambda: len(family(process.pid)) == 2)
    return family(process.pid)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.01)


def one(kind: Kind, target: str, seconds: float = 0.0, amount: float = 0.0) -> Disturbance:
    return Disturbance(0.0, kind, target, seconds, amount)


@pytest.mark.parametrize(
    ("kind", "target", "amount", "signum"),
    [
        (Kind.KILL, "worker-0", 0.0, signal.SIGKILL),
        (Kind.TERMINATE, "worker-0", 0.0, signal.SIGTERM),
        (Kind.CRASH, "postgres", 0.1, signal.SIGQUIT),
        (Kind.CRASH, "postgres", 0.9, signal.SIGKILL),
    ],
)
async def test_a_process_is_ended(
    paths: Paths, spawn: Spawn, kind: Kind, target: str, amount: float, signum: int
) -> None:
    process = spawn()
    told(paths, (target, "healthy", process.pid))
    breaking = Harm(paths, {}, lambda _: None)
    await breaking.run([one(kind, target, amount=amount)], 0.0)
    assert await asyncio.to_thread(process.wait, LIMIT_SECONDS) == -signum
    assert breaking.kills == 1
    assert sum(breaking.done.values()) == 1


async def test_a_pause_stops_a_process_and_its_children_for_a_while(
    paths: Paths, spawn: Spawn
) -> None:
    process = spawn()
    both = await whole_family(process)
    told(paths, ("worker-0", "healthy", process.pid))
    breaking = Harm(paths, {}, lambda _: None)

    async def seen_stopped(seconds: float) -> bool:
        plan = [one(Kind.PAUSE, "worker-0", seconds)]
        running = asyncio.create_task(breaking.run(plan, 0.0))
        while not (seen := stopped(both) == [True, True]) and not running.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await running
        await eventually(lambda: stopped(both) == [False, False])
        return seen

    # On a busy machine a short pause is over before it can be seen.
    assert await seen_stopped(0.2) or await seen_stopped(2) or await seen_stopped(20)
    assert breaking.kills == 0


async def test_what_is_paused_goes_on_when_the_run_is_called_off(
    paths: Paths, spawn: Spawn
) -> None:
    process = spawn()
    both = await whole_family(process)
    told(paths, ("worker-0", "healthy", process.pid))
    breaking = Harm(paths, {}, lambda _: None)
    running = asyncio.create_task(breaking.run([one(Kind.PAUSE, "worker-0", 600)], 0.0))
    await eventually(lambda: stopped(both) == [True, True])
    running.cancel()
    await asyncio.wait([running])
    await breaking.undo()
    await eventually(lambda: stopped(both) == [False, False])


@pytest.mark.parametrize("state", ["restarting", "healthy"])
async def test_a_node_is_left_alone_while_another_one_is_away(
    paths: Paths, spawn: Spawn, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(harm, "_PATIENCE", 0.05)
    nodes = [spawn() for _ in BROKERS]
    states = [state, "healthy", "healthy"]
    members = zip(BROKERS, states, (node.pid for node in nodes), strict=True)
    told(paths, *members)
    breaking = Harm(paths, {}, lambda _: None)
    plan = [one(Kind.KILL, BROKERS[2])]
    if state == "healthy":
        plan = [one(Kind.PAUSE, BROKERS[0], 600), *plan]
    running = asyncio.create_task(breaking.run(plan, 0.0))
    await eventually(lambda: breaking.skipped == 1)
    running.cancel()
    await asyncio.wait([running])
    assert breaking.kills == 0
    assert nodes[2].poll() is None


class Echo(asyncio.Protocol):
    """Says again what it is told."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@asynccontextmanager
async def link() -> AsyncIterator[Proxy]:
    """A detour to a server that says again what it is told."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def answers(proxy: Proxy, seconds: float) -> bool:
    """Whether the server behind can be reached, within so many seconds."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    except OSError:
        return False
    try:
        writer.write(b"x")
        return await asyncio.wait_for(reader.read(1), seconds) == b"x"
    except TimeoutError:
        return False
    finally:
        writer.close()


@pytest.mark.parametrize("kind", [Kind.CLOSE, Kind.HANG, Kind.DELAY])
async def test_a_link_is_strained_and_is_well_again(paths: Paths, kind: Kind) -> None:
    async with link() as proxy:
        breaking = Harm(paths, {"auth": proxy}, lambda _: None)
        plan = [one(kind, "auth", 600, amount=30.0)]
        running = asyncio.create_task(breaking.run(plan, 0.0))
        await eventually(lambda: breaking.done.total() == 1)
        assert not await answers(proxy, 0.2)
        running.cancel()
        await asyncio.wait([running])
        await breaking.undo()
        assert await answers(proxy, LIMIT_SECONDS)


async def test_a_strain_ends_by_itself(paths: Paths) -> None:
    async with link() as proxy:
        links = dict.fromkeys(BROKERS, proxy)
        breaking = Harm(paths, links, lambda _: None)
        await breaking.run([one(Kind.HANG, BROKER, 0.05, amount=0.1)], 0.0)
        assert await answers(proxy, LIMIT_SECONDS)
        assert dict(breaking.done) == {"hang broker link": 1}


async def test_a_cut_resets_what_is_connected_and_nothing_else(paths: Paths) -> None:
    async with link() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        await Harm(paths, {"auth": proxy}, lambda _: None).run([one(Kind.CUT, "auth")], 0.0)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        assert await answers(proxy, LIMIT_SECONDS)
