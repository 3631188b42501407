import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from localmesh.children import Child, Spec
from localmesh.errors import MeshError


def child(tmp_path: Path, code: str, stop_limit: float = 60) -> Child:
    return Child(
        Spec(
            name="trial",
            argv=(sys.executable, "-c", code),
            env={"PATH": os.defpath, "SECRET": "not shown"},
            log=tmp_path / "trial.log",
            stop_limit=stop_limit,
        )
    )


def says_ready(child: Child) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return "ready" in log_of(child)

    return ready


async def never() -> bool:
    return False


def log_of(child: Child) -> str:
    return child.spec.log.read_text()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until_dead(pid: int) -> None:
    deadline = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_program_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = child(
        tmp_path,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(600)",
        stop_limit=0.2,
    )
    deaf.start()
    await deaf.become_ready(says_ready(deaf), limit=60)
    await deaf.stop()
    assert deaf.returncode == -signal.SIGKILL


async def test_what_the_program_started_ends_with_it(tmp_path: Path) -> None:
    parent = child(
        tmp_path,
        "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid)",
    )
    parent.start()
    await parent.complete(limit=60)
    await until_dead(int(log_of(parent)))


async def test_what_is_left_of_a_program_that_has_ended_is_stopped(tmp_path: Path) -> None:
    parent = child(
        tmp_path,
        "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid)",
    )
    parent.start()
    assert parent.pid is not None
    os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - nothing else runs
    grandchild = int(log_of(parent))
    try:
        await parent.stop()
        await until_dead(grandchild)
    finally:
        with suppress(ProcessLookupError):
            os.kill(grandchild, signal.SIGKILL)


async def test_early_death_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    dying = child(tmp_path, "import sys; sys.exit('last words')")
    dying.start()
    with pytest.raises(MeshError, match=r"(?s)trial ended with 1.*last words") as told:
        await dying.become_ready(never, limit=60)
    assert len(str(told.value).splitlines()) == 2


async def test_program_that_never_gets_ready_is_told(tmp_path: Path) -> None:
    slow = child(tmp_path, "import time; time.sleep(600)")
    slow.start()
    with pytest.raises(MeshError, match="trial not ready in 0 s"):
        await slow.become_ready(never, limit=0.1)
    await slow.stop()


async def test_who_is_told_to_wait_no_longer_hears_it_also_when_the_program_ends(
    tmp_path: Path,
) -> None:
    for turns in range(8):
        brief = child(tmp_path, "")
        brief.start()
        assert brief.pid is not None
        waiting = asyncio.create_task(brief.complete(limit=60))
        await asyncio.sleep(0)
        # Held up until it has ended, so that the end and the word come as close as can be.
        os.waitid(os.P_PID, brief.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await brief.stop()


def test_environment_is_not_printed(tmp_path: Path) -> None:
    assert "not shown" not in repr(child(tmp_path, "").spec)
