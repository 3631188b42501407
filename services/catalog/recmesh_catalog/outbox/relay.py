"""Sends what the outbox holds."""

from __future__ import annotations

import structlog

from recmesh_catalog.outbox.events import VERSION
from recmesh_catalog.outbox.repository import OutboxRepository, Waiting
from recmesh_kit.amqp import REQUEST_ID_HEADER
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import CATALOG_EVENTS
from recmesh_kit.publisher import Outgoing

log = structlog.get_logger()

BATCH = 100
"""Messages in flight at once."""


class Relay:
    """Moves messages from the outbox to the exchange `catalog.events`. A message is forgotten once the broker has
    confirmed it, so it may be sent twice and is never lost. Several replicas may do so at the same time.

    Args:
        database: Where the outbox is.
        broker: Where the messages go.
    """

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker

    async def send_waiting(self) -> None:
        """Sends everything that waits. While the broker is away, or does not take a message, the rest stays."""
        while self._broker.connected and await self._send_some():
            pass

    async def _send_some(self) -> bool:
        """Sends a batch. False: there is no more, or the broker does not take more."""
        async with self._database.transaction() as session:
            repository = OutboxRepository(session)
            waiting = await repository.take(BATCH)
            try:
                answers = await self._broker.publish_all([_outgoing(one) for one in waiting])
            except Unavailable as error:
                answers = [error] * len(waiting)
            failures = [answer for answer in answers if answer]
            sent = [
                message.id for message, answer in zip(waiting, answers, strict=True) if not answer
            ]
            if sent:
                await repository.delete(sent)
        if failures:
            log.warning("events wait", count=len(failures), error=str(failures[0]))
        return len(sent) == BATCH


def _outgoing(message: Waiting) -> Outgoing:
    headers: dict[str, str | int] = {"recmesh-version": VERSION}
    if message.request_id is not None:
        headers[REQUEST_ID_HEADER] = message.request_id
    return Outgoing(CATALOG_EVENTS.name, message.routing_key, message.body, headers=headers)
