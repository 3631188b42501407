"""A mesh's members, and whether all that it was asked for has ended."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.harness.processes import BrokenSystem
from localmesh import prometheus
from localmesh.paths import Paths
from localmesh.state import MemberState, running_state
from recmesh_kit.telemetry.testing import scrape, total

_LOOK_SECONDS = 0.5


def members(root: Path) -> list[MemberState]:
    """Those that run, of the mesh whose `.local` lies in `root`; who watches it is none of it."""
    state = running_state(Paths(root / ".local"))
    found = state.members if state else []
    return [one for one in found if one.pid is not None and one.name != prometheus.NAME]


async def unfinished(root: Path) -> tuple[int, int]:
    """How many jobs have not ended, and how many calls are in hand. Workers are not asked: they take no calls."""
    asked = [one for one in members(root) if not one.name.startswith(("worker", "rabbitmq"))]
    looked = [one.metrics for one in asked if one.metrics]
    found = [await asyncio.to_thread(scrape, metrics) for metrics in looked]
    jobs = max((total(one, "recmesh_jobs_unfinished") for one in found), default=0)
    return int(jobs), int(sum(total(one, "recmesh_grpc_calls_in_hand") for one in found))


async def settled(root: Path, seconds: float) -> None:
    """Returns when all jobs and all calls have ended.

    Args:
        root: Where the mesh's `.local` lies.
        seconds: How long they may take.

    Raises:
        BrokenSystem: They take longer.
    """
    until = time.monotonic() + seconds
    while any(left := await unfinished(root)):
        if time.monotonic() > until:
            raise BrokenSystem(f"{left[0]} jobs and {left[1]} calls do not end")
        await asyncio.sleep(_LOOK_SECONDS)
    # What is announced and acknowledged together is on its way still.
    await asyncio.sleep(2 * _LOOK_SECONDS)
