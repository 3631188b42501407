"""Child processes: started with a log, watched without a thread, stopped for certain."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from localmesh import launch
from localmesh.errors import MeshError

POLL_SECONDS = 0.05
STOP_SECONDS = 15.0
"""What a program may take to stop, beside what it is asked to wait for."""


@dataclass(frozen=True)
class Spec:
    """How one program is run. The child sees `env` and nothing else."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    log: Path
    address: str = ""
    metrics: str = ""
    """Where it serves its metrics; empty for nowhere."""
    cwd: Path | None = None
    identity: str = "keep"
    """See `localmesh.launch`."""
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when this process dies without a word."""
    stop_limit: float = STOP_SECONDS
    """Seconds from `stop_signal` to SIGKILL."""
    stop_again: float | None = None
    """Seconds after which `stop_signal` is sent again, to a program that may miss it."""


class Child:
    """One running (or not yet, or no longer running) program in a process group of its own."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None unless it runs."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not been seen to end."""
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number if a signal ended it, None before its end."""
        return self._process.returncode if self._process else None

    def start(self) -> None:
        """Start the program; its output is appended to the log.

        Call it on the main thread: the kernel ties the child's life to the thread that made it.
        """
        spec = self.spec
        with spec.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a list, no shell
                (*launcher(spec.orphan_signal, spec.identity), *spec.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(spec.env),
                cwd=spec.cwd,
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Wait for the end; what is left of its process group is killed. Returns the exit code."""
        process = self._process
        if process is None:
            msg = f"{self.spec.name} was not started"
            raise RuntimeError(msg)
        if process.returncode is None:
            await _ended(process.pid)
        if process.returncode is None:
            # Before the reaping, while the number of the group cannot be somebody else's.
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode

    async def stop(self) -> None:
        """Ask it to stop; kill its process group when the limit passes. Safe to call twice."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        deadline = time.monotonic() + self.spec.stop_limit
        while process.returncode is None and (left := deadline - time.monotonic()) > 0:
            # `process.send_signal` would reap it if it has ended, and what is left of its group would live on.
            os.kill(process.pid, self.spec.stop_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, self.spec.stop_again or left)):
                    await self.wait()
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGKILL)
            await self.wait()

    async def become_ready(self, probe: Callable[[], Awaitable[bool]], limit: float) -> None:
        """Wait until `probe` says True, asking it again and again, for `limit` seconds at most.

        Raises MeshError, with the end of the log, when the program ends before or time runs out.
        """
        deadline = time.monotonic() + limit
        ended = asyncio.create_task(self.wait(), name=f"{self.spec.name} ended")
        try:
            # Asked last whether it runs: the probe may have met another server.
            while not await probe() or ended.done():
                if ended.done():
                    msg = f"ended with {ended.result()}"
                    raise self._error(msg)
                if time.monotonic() > deadline:
                    msg = f"not ready in {limit:.0f} s"
                    raise self._error(msg)
                await asyncio.wait([ended], timeout=POLL_SECONDS)
        finally:
            ended.cancel()
            await asyncio.wait([ended])

    async def complete(self, limit: float) -> None:
        """Wait for a program that does its work and ends. Raises MeshError unless it succeeds."""
        try:
            async with asyncio.timeout(limit):
                code = await self.wait()
        except TimeoutError:
            await self.stop()
            msg = f"not done in {limit:.0f} s"
            raise self._error(msg) from None
        if code != 0:
            msg = f"ended with {code}"
            raise self._error(msg)

    def _error(self, what: str) -> MeshError:
        return MeshError(f"{self.spec.name} {what}{log_tail(self.spec.log)}")


def log_tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, below a heading that names it: for the end of an error's text."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        text = ""
    tail = "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
    return f"; the end of {path}:\n{tail or '  (empty)'}"


async def run_in_foreground(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a program on this terminal, in this process group, and return its exit code.

    When cancelled it asks the program to stop, and waits for it. Raises OSError.
    """
    program = (*launcher(signal.SIGTERM, "keep"), *argv)
    process = subprocess.Popen(program, env=dict(env))  # noqa: ASYNC220, S603 - milliseconds
    try:
        await _ended(process.pid)
    finally:
        process.terminate()
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    return code if code >= 0 else 128 - code


def launcher(orphan_signal: signal.Signals, identity: str) -> tuple[str, ...]:
    """The words before a command that tie its life to this process's."""
    script = (sys.executable, "-I", "-S", launch.__file__)
    return (*script, str(os.getpid()), str(int(orphan_signal)), identity)


async def _ended(pid: int) -> None:
    """Wait until the process has ended (it is not reaped)."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    pidfd = os.pidfd_open(pid)
    try:
        loop.add_reader(pidfd, done.set)
        await done.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _signal_group(pid: int, signum: signal.Signals) -> None:
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:
        return
