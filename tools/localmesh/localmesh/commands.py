"""The commands: each takes a plan and returns an exit code."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from localmesh import environment, prometheus, restarting
from localmesh.children import POLL_SECONDS, log_tail, run_in_foreground
from localmesh.errors import MeshError
from localmesh.mesh import SUPERVISOR_LOG
from localmesh.plan import Plan
from localmesh.ports import Ports
from localmesh.report import call_lines, table
from localmesh.servers import kind
from localmesh.session import INTERRUPTED, AlreadyRunningError, run_mesh, say
from localmesh.state import MemberState, MeshState, born, last_state, running, running_state
from recmesh_kit import probe

NOT_RUNNING = 3
_SERVERS = ("postgres", "rabbitmq", "prometheus")


def run(plan: Plan) -> int:
    """Run the mesh in the foreground until Ctrl-C or SIGTERM."""

    async def until_stopped() -> int:
        state = last_state(plan.paths)
        say(f"the mesh is up\n{table(state.members if state else [])}")
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 0

    try:
        code = asyncio.run(run_mesh(plan, until_stopped))
    except AlreadyRunningError:
        return _already_running(plan)
    say("the mesh is down")
    return code


def up(plan: Plan) -> int:
    """Start the mesh in the background, unless it runs; return when it is healthy."""
    plan.paths.make()
    if running(plan.paths):
        return _already_running(plan)
    print(f"starting the mesh; its logs are in {plan.paths.logs}", flush=True)
    log = plan.paths.logs / SUPERVISOR_LOG
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            (
                *(sys.executable, "-m", "localmesh", "--root", str(plan.root)),
                *("run", *_words(plan)),
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while process.poll() is None:
            state = running_state(plan.paths)
            if state and state.pid == process.pid and state.phase == "ready":
                print(f"{table(state.members)}\n\n{call_lines(plan)}")
                return 0
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return INTERRUPTED
    if process.returncode == 0:
        # Somebody else's `up` was a moment faster.
        return _already_running(plan)
    state = last_state(plan.paths)
    if state and state.pid == process.pid and state.phase == "failed":
        raise MeshError(state.error)
    msg = f"the supervisor ended with {process.returncode}{log_tail(log)}"
    raise MeshError(msg)


def down(plan: Plan) -> int:
    """Stop the mesh, if it runs."""
    if not running(plan.paths):
        print("the mesh is not running")
        return 0
    state = _await_state(plan)
    since = born(state.pid)
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + state.stop_limit
    while since is not None and born(state.pid) == since:
        if time.monotonic() > deadline:
            msg = (
                f"the supervisor (process {state.pid}) did not stop in {state.stop_limit:.0f} s; "
                f"`kill -9 {state.pid}` ends it and everything that it runs"
            )
            raise MeshError(msg)
        time.sleep(POLL_SECONDS)
    print("the mesh is down")
    return 0


def status(plan: Plan) -> int:
    """Print the table. Returns 0 when all is healthy, 1 when not, 3 when nothing runs."""
    state = running_state(plan.paths)
    if state is None:
        print("the mesh is not running")
        return NOT_RUNNING
    members = asyncio.run(_asked(state))
    print(table(members))
    return 0 if all(member.state == "healthy" for member in members) else 1


def restart(plan: Plan, names: Sequence[str]) -> int:
    """Put new processes in the place of those that run, one after the other: all, or those that are named. Returns 0.

    Services and workers are replaced without a gap, PostgreSQL and RabbitMQ are stopped and started. What does not
    become ready ends it, and the others stay as they are.

    Raises:
        MeshError: It did not go well, nothing of that name runs, or nothing at all.
    """
    if not running(plan.paths):
        raise MeshError("the mesh is not running")
    request = restarting.ask(plan.paths, restarting.chosen(_await_ready(plan), names))
    heard = partial(print, "restarted", flush=True)
    print(table(restarting.await_end(plan.paths, request, heard).members))
    return 0


def execute(plan: Plan, command: Sequence[str]) -> int:
    """Run a command while the mesh is up, and return its exit code.

    A mesh that runs already is used and left running; otherwise it is started for the command.
    """

    async def in_foreground() -> int:
        # The terminal sends Ctrl-C to the command as well: what it means is the command's affair.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
        return await run_in_foreground(command, _caller_environment(plan))

    plan.paths.make()
    try:
        if not running(plan.paths):
            return asyncio.run(run_mesh(plan, in_foreground))
    except AlreadyRunningError:
        say("another start was faster: using that one")
    state = _await_ready(plan)
    plan = replace(plan, ports=Ports(state.port_offset))
    return asyncio.run(in_foreground())


def _caller_environment(plan: Plan) -> dict[str, str]:
    return {**plan.person, **environment.caller(plan.vault, plan.ports)}


def _already_running(plan: Plan) -> int:
    state = _await_ready(plan)
    print(f"already running (process {state.pid})\n{table(state.members)}")
    kinds = Counter(kind(member.name) for member in state.members)
    present = {
        "workers": kinds["worker"],
        "recommenders": kinds["recommender"],
        # None is its own where AMQP_URL names one.
        "brokers": kinds["rabbitmq"] or plan.brokers,
    }
    wanted = _sizes(plan)
    again = f"python -m localmesh down, then python -m localmesh up {shlex.join(_words(plan))}"
    if other := [what for what, count in wanted.items() if present[what] != count]:
        has = ", ".join(f"{present[what]} {what}" for what in other)
        want = ", ".join(str(wanted[what]) for what in other)
        print(f"it has {has}; for {want}: {again}")
    if plan.monitoring and not kinds[prometheus.NAME]:
        print(f"nothing watches it; for that: {again}")
    return 0


def _sizes(plan: Plan) -> dict[str, int]:
    """How many there are to be of what, by the names that the command line has for it."""
    return {
        "workers": plan.workers,
        "recommenders": plan.recommenders,
        "brokers": plan.brokers,
    }


def _words(plan: Plan) -> list[str]:
    """What the command line says for the mesh of a plan."""
    sizes = [word for what, count in _sizes(plan).items() for word in (f"--{what}", str(count))]
    return [*sizes, f"--monitoring={plan.monitoring:g}"] if plan.monitoring else sizes


def _await_state(plan: Plan) -> MeshState:
    """What the running supervisor says, once it has said something."""
    while running(plan.paths):
        if state := running_state(plan.paths):
            return state
        time.sleep(POLL_SECONDS)
    raise MeshError("the mesh stopped meanwhile")


def _await_ready(plan: Plan) -> MeshState:
    """What the running supervisor says once all is healthy. Raises MeshError if it gives up."""
    while (state := _await_state(plan)).phase == "starting":
        time.sleep(POLL_SECONDS)
    if state.phase != "ready":
        msg = f"the mesh is {state.phase}: try again when it is down"
        raise MeshError(msg)
    return state


async def _asked(state: MeshState) -> list[MemberState]:
    """The members, the services among them asked by this process how they are."""

    async def asked(member: MemberState) -> MemberState:
        if member.state != "healthy" or kind(member.name) in _SERVERS:
            return member
        healthy = await probe.serving(member.address)
        return member if healthy else replace(member, state="not serving")

    return await asyncio.gather(*(asked(member) for member in state.members))
