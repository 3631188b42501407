"""One life of a mesh: the lock, the signals, the state file; whatever happens, all is stopped."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from localmesh.errors import MeshError
from localmesh.mesh import Mesh
from localmesh.plan import Plan
from localmesh.restarting import Restarts
from localmesh.state import MeshState, take_lock

INTERRUPTED = 130
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AlreadyRunningError(Exception):
    """Another supervisor runs the mesh of this checkout."""


def say(text: str) -> None:
    """A line with the time, to the terminal or the supervisor's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def run_mesh(plan: Plan, while_up: Callable[[], Awaitable[int]]) -> int:
    """Start the mesh, do `while_up`, stop the mesh. Returns what `while_up` does.

    SIGINT, SIGTERM and SIGHUP end it at any moment, and the result is then 130. Raises
    AlreadyRunningError, and MeshError when something does not start.
    """
    plan.paths.make()
    lock = take_lock(plan.paths)
    if lock is None:
        raise AlreadyRunningError
    try:
        plan.paths.refuse_half_restored()
        return await _locked(plan, while_up)
    finally:
        os.close(lock)


async def _locked(plan: Plan, while_up: Callable[[], Awaitable[int]]) -> int:
    phase, failure = "starting", ""

    def changed() -> None:
        replace(mesh.state(os.getpid(), phase), restarts=restarts.known).write(plan.paths)

    mesh = Mesh(plan, say, changed)
    restarts = Restarts(plan.paths, changed)

    async def work() -> int:
        nonlocal phase
        await mesh.start()
        phase = "ready"
        changed()
        restarting = asyncio.create_task(restarts.serve(mesh), name="restarts")
        try:
            return await while_up()
        finally:
            restarting.cancel()
            await asyncio.wait([restarting])

    working = asyncio.create_task(work(), name="mesh")
    _cancel_on_signal(working)
    try:
        return await working
    except asyncio.CancelledError:
        return INTERRUPTED
    except MeshError as error:
        failure = str(error)
        raise
    finally:
        phase = "stopping"
        await mesh.stop()
        if failure:
            MeshState(os.getpid(), "failed", failure).write(plan.paths)
        else:
            plan.paths.state.unlink(missing_ok=True)


def _cancel_on_signal(work: "asyncio.Task[int]") -> None:
    """Cancel `work` at the first signal; the others are too late to change anything."""
    requested = False

    def request() -> None:
        nonlocal requested
        if not requested:
            requested = True
            work.cancel()

    loop = asyncio.get_running_loop()
    for signum in _STOP_SIGNALS:
        loop.add_signal_handler(signum, request)
