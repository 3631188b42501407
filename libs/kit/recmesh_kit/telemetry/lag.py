"""How late the event loop is, which is what every call waits for while something else holds it up; and how many tasks
it has, which is what grows when one is forgotten."""

from __future__ import annotations

import asyncio

from recmesh_kit.telemetry.instruments import Instruments

EVERY_SECONDS = 0.25


async def watch(instruments: Instruments) -> None:
    """Measures until it is cancelled: sleeps for a while, and sees how much later it is woken."""
    lag = instruments.seconds(
        "recmesh_event_loop_lag_seconds", "How much later than asked for the event loop calls back."
    ).of()
    tasks = instruments.gauge("recmesh_event_loop_tasks", "Tasks of the event loop.").of()
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + EVERY_SECONDS
        await asyncio.sleep(EVERY_SECONDS)
        lag.observe(max(0.0, clock() - due))
        tasks.set(len(asyncio.all_tasks()))
