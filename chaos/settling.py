"""The end of a run: everything back, queues drained, nothing unfinished; each waited for with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

import aio_pika
from aio_pika.exceptions import AMQPError

from localmesh.paths import Paths
from localmesh.state import last_state
from recmesh_kit import layout, probe
from recmesh_kit.liveness import LIVENESS

MEMBERS_SECONDS = 300.0
"""From the last disturbance until every member serves."""
JOBS_SECONDS = 300.0
"""Until no job is unfinished: longer than their deadlines."""
QUEUES_SECONDS = 300.0
READ_MODEL_SECONDS = 300.0
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10.0
_SERVICES = ("auth", "catalog", "recommender", "worker")
_QUEUES = (layout.INTERACTIVE, layout.BULK, layout.SUSPECT, layout.INDEX, layout.HISTORY)
"""Not the delay tiers: what waits there are calls for jobs that have ended by now."""


async def until(done: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Asks again and again; says whether it came true within so many seconds."""
    last = monotonic() + seconds
    while not await done():
        if monotonic() > last:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def ill(paths: Paths) -> list[str]:
    """The members that are not well, by what the supervisor says and by what they say themselves."""
    state = last_state(paths)
    members = state.members if state else []

    async def well(name: str, address: str) -> bool:
        if name.partition("-")[0] not in _SERVICES:
            return True
        return await probe.serving(address) and await probe.serving(address, LIVENESS)

    asked = [m for m in members if m.state == "healthy"]
    answers = await asyncio.gather(*(well(m.name, m.address) for m in asked))
    serving = {m.name for m, answer in zip(asked, answers, strict=True) if answer}
    return [m.name for m in members if m.name not in serving]


async def waiting(urls: Sequence[str]) -> dict[str, int]:
    """Messages that wait in the queues that have consumers, without those of which there are none.

    Args:
        urls: The admin's, of the broker's nodes.

    Raises:
        ConnectionError: No node answers.
    """
    for url in urls:
        try:
            connection = await aio_pika.connect(url, timeout=_CONNECT_SECONDS)
            async with connection, connection.channel() as channel:
                found = {}
                for queue in _QUEUES:
                    declared = await channel.get_queue(queue.name)
                    count = declared.declaration_result.message_count or 0
                    if count:
                        found[queue.name] = count
                return found
        except (OSError, AMQPError, TimeoutError):
            continue
    raise ConnectionError("no node of the broker answers")
