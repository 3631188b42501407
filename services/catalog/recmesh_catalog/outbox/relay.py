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
        """Sends everything that waits. While the broker is away it stays. What the broker does not take, because its
        queue is full, stays with all of its kind; other kinds do not wait for it.
        """
        refused: frozenset[str] = frozenset()
        more = True
        while more and self._broker.connected:
            more, refused = await self._send_some(refused)

    async def _send_some(self, refused: frozenset[str]) -> tuple[bool, frozenset[str]]:
        """Sends a batch.

        Args:
            refused: Kinds of messages that are left out.

        Returns:
            Whether there may be more to send, and which kinds are to be left out then.
        """
        async with self._database.transaction() as session:
            repository = OutboxRepository(session)
            waiting = await repository.take(BATCH, without=refused)
            try:
                answers = await self._broker.publish_all([_outgoing(one) for one in waiting])
            except Unavailable as error:
                answers = [error] * len(waiting)
            outcomes = list(zip(waiting, answers, strict=True))
            sent = [message.id for message, failure in outcomes if not failure]
            if sent:
                await repository.delete(sent)
        kinds = frozenset(message.kind for message, failure in outcomes if failure)
        if kinds:
            failures = [failure for _, failure in outcomes if failure]
            log.warning(
                "events wait", count=len(failures), kinds=sorted(kinds), error=str(failures[0])
            )
        return len(waiting) == BATCH or bool(kinds), refused | kinds


def _outgoing(message: Waiting) -> Outgoing:
    headers: dict[str, str | int] = {"recmesh-version": VERSION}
    if message.request_id is not None:
        headers[REQUEST_ID_HEADER] = message.request_id
    # With no queue behind the exchange, it would be told to nobody.
    return Outgoing(
        CATALOG_EVENTS.name, message.routing_key, message.body, headers=headers, mandatory=True
    )
