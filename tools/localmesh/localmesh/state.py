"""The one supervisor of a checkout: its lock, and what it says about itself."""

import asyncio
import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from localmesh.paths import Paths

_PREDECESSOR_SECONDS = 60.0
_LOCK_PAUSE = 0.05


@dataclass(frozen=True)
class MemberState:
    """One program of a running mesh."""

    name: str
    address: str
    state: str
    restarts: int
    pid: int | None
    born: int | None
    """When the process started, in the kernel's ticks: with `pid` it names the process for good."""
    metrics: str = ""
    """Where it serves its metrics."""


@dataclass(frozen=True)
class Restart:
    """A restart that was asked for."""

    id: str
    done: list[str] = field(default_factory=list)
    """The programs that are new ones and ready."""
    over: bool = False
    error: str = ""
    """Why not all of them are."""


@dataclass(frozen=True)
class MeshState:
    """What a supervisor last wrote."""

    pid: int
    phase: str
    """`starting`, `ready`, `stopping`, or `failed` with `error`."""
    error: str = ""
    port_offset: int = 0
    members: list[MemberState] = field(default_factory=list)
    stop_limit: float = 180.0
    """Seconds in which all of it has stopped, once it is told to."""
    restarts: list[Restart] = field(default_factory=list)
    """The latest, the last of which may be in hand."""

    def write(self, paths: Paths) -> None:
        """Replace the state file."""
        new = paths.state.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(paths.state)


def last_state(paths: Paths) -> MeshState | None:
    """What the last supervisor wrote, whether or not it still runs."""
    try:
        written = json.loads(paths.state.read_text())
    except FileNotFoundError:
        return None
    # Another version may have written it.
    known = {
        field.name: written[field.name] for field in fields(MeshState) if field.name in written
    }
    members = [MemberState(**member) for member in known.pop("members", ())]
    restarts = [Restart(**restart) for restart in known.pop("restarts", ())]
    return MeshState(**known, members=members, restarts=restarts)


def take_lock(paths: Paths) -> int | None:
    """Become the one supervisor. Returns a descriptor to keep open, None if there is one."""
    lock = os.open(paths.lock, os.O_CREAT | os.O_RDWR, 0o600)
    while not _flock(lock, fcntl.LOCK_EX):
        if not _flock(lock, fcntl.LOCK_SH):
            os.close(lock)
            return None
        # Only somebody who asks whether it is running.
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(_LOCK_PAUSE)
    return lock


def running(paths: Paths) -> bool:
    """Whether a supervisor holds the lock."""
    if not paths.lock.exists():
        return False
    lock = os.open(paths.lock, os.O_RDWR)
    try:
        # Shared: two that ask at the same time do not take each other for a supervisor.
        return not _flock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _flock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def running_state(paths: Paths) -> MeshState | None:
    """What the running supervisor says; None when there is none or it has not spoken yet."""
    state = last_state(paths) if running(paths) else None
    return state if state is not None and Path(f"/proc/{state.pid}").exists() else None


def born(pid: int) -> int | None:
    """When process `pid` started, in ticks since the machine did; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


async def await_predecessors(paths: Paths) -> None:
    """Wait until nothing that a killed supervisor left is running; end what does not end."""
    state = last_state(paths)
    left = [(m.pid, m.born) for m in state.members if m.pid] if state else []
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while left := [(pid, since) for pid, since in left if born(pid) == since]:
        if time.monotonic() > deadline:
            for pid, _ in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.1)
