"""What workers tell of jobs that have ended."""

from __future__ import annotations

import structlog

from recmesh_jobs.messages import UnsupportedVersion, decode_finished
from recmesh_kit.broker import Delivery
from recmesh_recommender.waiting import WaitingRoom

log = structlog.get_logger()


class Replies:
    """Passes replies on to those who wait.

    Args:
        room: Who waits.
    """

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room

    async def handle(self, deliveries: list[Delivery]) -> None:
        """One batch. A reply that cannot be read is dropped: the rows hold the same, and are looked at too."""
        for delivery in deliveries:
            try:
                for finished in decode_finished(delivery.body):
                    self._room.tell_finished(finished)
            except (UnsupportedVersion, ValueError) as error:
                log.warning("reply not understood", error=str(error))
            await delivery.ack()
