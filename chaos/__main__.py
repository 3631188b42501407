"""`make chaos`: the real mesh under steady load, broken at random from a printed seed, and then audited.

Three nodes of RabbitMQ, two workers, two recommenders, and detours to every server that they need. Callers write down
what they are told; meanwhile processes are killed, stopped and told to end, the database restarts and crashes, and
connections are cut, refused, held up and delayed. Then all is undone, what was accepted ends, and the tables are held
against what callers were told.

The seed decides what is asked, and what is broken and when. It cannot decide how far everything is at that moment: two
runs of one seed differ in which calls meet which disturbance. What cannot be asked in time, since too much is in hand,
is asked a little later.

The last line is one JSON object. The exit code is 0 when `lost`, `doubled`, `wrong_owner`, `untyped`, `broken`,
`refused`, `unknown` and `stale` are 0 (`chaos.audit.Fault` says what they mean), no caller was told of a defect,
everything came back, and at least 20,000 jobs were accepted in 120 s, or as many in proportion.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from chaos.breaking import BROKERS
from chaos.run import SETTINGS, Run, Wish
from localmesh.errors import MeshError
from localmesh.paths import Paths, checkout, private_dir
from localmesh.plan import Plan
from localmesh.ports import HOST, Ports, free_ports, require_free
from localmesh.session import run_mesh, say
from localmesh.state import running
from recmesh_kit.proxy import Proxy

SECONDS = 120.0
RATE = 240.0
WORKERS = RECOMMENDERS = 2
_OFFSETS = range(-48_900, -45_800, 20)
"""All ports come to lie below those of tests and of `free_ports`: a mesh needs a while to listen, and nobody is to take
one meanwhile."""
_INHERITED = ("PATH", "HOME", "LANG")


async def main(wish: Wish) -> int:
    """Does it, prints, and returns the exit code."""
    folder = _fresh_folder()
    ports = _free_ports()
    print(
        f"chaos: seed {wish.seed}, {wish.seconds:g} s, {wish.rate:g} jobs a second; "
        f"logs in {Paths(folder / '.local').logs}",
        flush=True,
    )
    async with AsyncExitStack() as stack:
        links = await _links(stack, ports)
        plan = Plan(
            root=folder,
            ports=ports,
            workers=WORKERS,
            person=_person(os.environ),
            recommenders=RECOMMENDERS,
            brokers=len(BROKERS),
            detours={_servers(ports)[name]: link.port for name, link in links.items()},
            longest_pause=0.5,
        )
        run = Run(wish, plan, links, say)
        code = await run_mesh(plan, run.work)
    if run.outcome is None:
        print(f"chaos: it did not come to its end; logs in {plan.paths.logs}", file=sys.stderr)
        return code or 1
    for fault in run.outcome.faults:
        print(f"chaos: {fault}", file=sys.stderr)
    if run.outcome.faults:
        print(f"chaos: seed {wish.seed}; logs in {plan.paths.logs}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    print(run.outcome.line, flush=True)
    return 1 if run.outcome.faults else 0


def _servers(ports: Ports) -> dict[str, int]:
    """Server to its port, of those that the services reach by a detour."""
    brokers = {name: ports.rabbitmq_at(index) for index, name in enumerate(BROKERS)}
    return {
        "postgres": ports.postgres,
        **brokers,
        "auth": ports.auth,
        "catalog": ports.catalog,
    }


async def _links(stack: AsyncExitStack, ports: Ports) -> dict[str, Proxy]:
    servers = _servers(ports)
    listening = free_ports(len(servers))
    return {
        name: await stack.enter_async_context(Proxy(HOST, port, own))
        for (name, port), own in zip(servers.items(), listening, strict=True)
    }


def _fresh_folder() -> Path:
    """A folder for this run. What earlier ones have left is removed, unless one of them runs."""
    parent = private_dir(checkout() / ".local" / "chaos")
    for old in parent.glob("run-*"):
        if not running(Paths(old / ".local")):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=parent)).resolve()


def _free_ports() -> Ports:
    """Ports of its own, whatever the person's mesh has."""
    for offset in random.sample(_OFFSETS, len(_OFFSETS)):
        ports = Ports(offset)
        wanted = {
            **_servers(ports),
            **{f"recommender {n}": ports.recommender_at(n) for n in range(RECOMMENDERS)},
            **{f"worker {n}": ports.worker(n) for n in range(WORKERS)},
            "rabbitmq's own tools": ports.rabbitmq_nodes,
        }
        try:
            require_free(wanted)
        except MeshError:
            continue
        return ports
    raise MeshError("no offset has all of its ports free")


def _person(person: Mapping[str, str]) -> dict[str, str]:
    """What the mesh sees of the person's variables: its own servers are used, as they are set here."""
    return {**{name: person[name] for name in _INHERITED if name in person}, **SETTINGS}


def _arguments() -> Wish:
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description="Breaks the mesh under load, and audits it."
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of load (default: %(default)g)"
    )
    parser.add_argument("--seed", type=int, help="by which all is drawn (default: a new one)")
    parser.add_argument(
        "--rate", type=float, default=RATE, help="jobs a second (default: %(default)g)"
    )
    parser.add_argument("--calm", action="store_true", help="break nothing")
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed  # noqa: S311
    return Wish(seed, given.seconds, given.rate, given.calm)


if __name__ == "__main__":
    try:
        sys.exit(uvloop.run(main(_arguments())))
    except MeshError as error:
        sys.exit(f"chaos: {error}")
