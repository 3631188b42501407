"""Batches of messages of the exchange `catalog.events`: understood, applied, and acknowledged once all they tell is in
the read model. So each may come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from recmesh_kit.broker import Delivery
from recmesh_kit.passing import is_passing
from recmesh_kit.tasks import backoff, end_if_cancelled
from recmesh_worker.changes import Changes, NewerVersion
from recmesh_worker.returns import SUSPICIOUS, returns

log = structlog.get_logger()

GIVE_BACK_SECONDS = 1.0
"""How long a message of a newer version is held, so that it does not go in circles."""

C = TypeVar("C", bound=Changes)


async def apply_batch(
    deliveries: Sequence[Delivery], begin: Callable[[], C], apply: Callable[[C], Awaitable[None]]
) -> None:
    """Handles one batch. While something that it needs is away the batch is kept and tried again, for as long as it
    takes. A batch that breaks something is applied message by message, and one that does so alone is logged and left
    out: it would hold up all others for ever. One that came back several times may be what kills its worker: it is
    applied alone, after the others, so that they are not held up.

    Args:
        deliveries: The messages.
        begin: Makes what takes them in.
        apply: Brings them into the read model, once or several times.
    """
    if len(deliveries) > 1 and max(map(returns, deliveries)) >= SUSPICIOUS:
        for delivery in sorted(deliveries, key=returns):
            await apply_batch([delivery], begin, apply)
        return
    changes, newer = begin(), []
    for delivery in deliveries:
        try:
            changes.add(delivery.routing_key, delivery.body)
        except NewerVersion:
            newer.append(delivery)
        except Exception as error:
            if is_passing(error):
                raise
            # Another reader would not understand it either.
            log.exception(
                "catalog event that is none: `recmesh admin verify` brings in what it told",
                routing_key=delivery.routing_key,
            )
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
            log.exception(
                "catalog event left out: mend this, then `recmesh admin verify` brings it in",
                keys=[d.routing_key for d in known],
            )
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
        except Exception as error:
            # Else it would be tried again, and hold up the end.
            end_if_cancelled()
            if not is_passing(error):
                raise
            failures += 1
            log.warning("catalog events wait", error=repr(error), failures=failures)
            await asyncio.sleep(backoff(failures))
        else:
            return
