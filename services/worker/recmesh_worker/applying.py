"""Batches of messages of the exchange `catalog.events`: understood, applied, and acknowledged once all they tell is in
the read model. So each may come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from recmesh_kit.broker import Delivery
from recmesh_kit.errors import Unavailable
from recmesh_kit.tasks import backoff
from recmesh_worker.changes import Changes, NewerVersion

log = structlog.get_logger()

GIVE_BACK_SECONDS = 1.0
"""How long a message of a newer version is held, so that it does not go in circles."""

C = TypeVar("C", bound=Changes)


async def apply_batch(
    deliveries: Sequence[Delivery], begin: Callable[[], C], apply: Callable[[C], Awaitable[None]]
) -> None:
    """Handles one batch. While something that it needs is away the batch is kept and tried again: the broker gives a
    message out a limited number of times only. A batch that breaks something is applied message by message, and one
    that does so alone is logged and left out: it would hold up all others for ever.

    Args:
        deliveries: The messages.
        begin: Makes what takes them in.
        apply: Brings them into the read model, once or several times.
    """
    changes, newer = begin(), []
    for delivery in deliveries:
        try:
            changes.add(delivery.routing_key, delivery.body)
        except NewerVersion:
            newer.append(delivery)
        except Exception:
            # Another reader would not understand it either.
            log.exception("catalog event that is none", routing_key=delivery.routing_key)
        # A message of an import tells of hundreds: others have their turn before the next.
        await asyncio.sleep(0)
    known = [delivery for delivery in deliveries if delivery not in newer]
    try:
        await _apply_once_there(changes, apply)
    except Exception as error:
        if len(known) > 1:
            log.warning("catalog events one by one", count=len(known), error=repr(error))
            for delivery in known:
                await apply_batch([delivery], begin, apply)
            known = []
        else:
            log.exception("catalog event left out", keys=[d.routing_key for d in known])
    for delivery in known:
        await delivery.ack()
    if newer:
        log.warning("catalog events of a newer version", count=len(newer))
        await asyncio.sleep(GIVE_BACK_SECONDS)
        for delivery in newer:
            await delivery.nack(requeue=True)


async def _apply_once_there(changes: C, apply: Callable[[C], Awaitable[None]]) -> None:
    """Applies changes, as soon as all that this needs is there."""
    failures = 0
    while True:
        try:
            await apply(changes)
        except Unavailable as error:
            failures += 1
            log.warning("catalog events wait", error=error.message, failures=failures)
            await asyncio.sleep(backoff(failures))
        else:
            return
