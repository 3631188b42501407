"""Messages that are put off: through the delay tiers, and back to the queue that they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from recmesh_jobs.lanes import DELAYS_HEADER, tier_of_delay
from recmesh_jobs.messages import Dispatched
from recmesh_kit.amqp import REQUEST_ID_HEADER
from recmesh_kit.broker import Broker, Delivery, Outgoing
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import Tier
from recmesh_kit.passing import is_passing

log = structlog.get_logger()

CLOCKS_APART = timedelta(minutes=2)
"""More than the clocks of two machines differ by: what this one takes to be over is over by then."""
_BROKERS = "x-"
"""What the names of headers begin with that the broker puts in."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """A message to be put off.

    Attributes:
        delivery: The message.
        tier: For how long.
        routing_key: The queue that it goes to then.
        delays: How often it has been put off without an attempt, this time included.
    """

    delivery: Delivery
    tier: Tier
    routing_key: str
    delays: int = 0


class Delays:
    """Puts messages off. One that cannot be is found by its row: the rows decide.

    Args:
        broker: Where the tiers are.
        most: How often a message is put off that breaks something for a lasting reason. Then it is dropped, and its
            row, if it has one, is dispatched anew until its deadline.
        now: The time.
    """

    def __init__(
        self,
        broker: Broker,
        most: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._broker = broker
        self._most = most
        self._now = now

    def is_over(self, deadline: datetime) -> bool:
        """Whether a job's deadline has passed, by any clock."""
        return deadline < self._now() - CLOCKS_APART

    async def put_off(
        self, jobs: Iterable[tuple[Delivery, Dispatched]], error: Exception
    ) -> list[Delivery]:
        """Puts messages off that nothing could be done with, not even a claim, and acknowledges them; those that are
        settled already are left alone. One whose job is over is dropped.

        Args:
            jobs: The messages, each with what it says.
            error: What went wrong. If that does not pass, they are put off a few times only.

        Returns:
            Those that are to go back to their queue, after a pause: the broker does not take them.
        """
        passing = is_passing(error)
        delayed: list[Delayed] = []
        for delivery, job in jobs:
            if delivery.settled:
                continue
            delays = _delays(delivery) + 1
            if self.is_over(job.deadline) or (not passing and delays > self._most):
                log.warning("job message dropped", job=str(job.id), delays=delays)
                await delivery.ack()
                continue
            tier = tier_of_delay(delays)
            delayed.append(Delayed(delivery, tier, delivery.routing_key, delays))
        if not delayed:
            return []
        log.warning(
            "jobs put off",
            jobs=len(delayed),
            error=repr(error),
            exc_info=None if passing else error,
        )
        sent = await self.send(delayed)
        left = []
        for one, is_sent in zip(delayed, sent, strict=True):
            if is_sent:
                await one.delivery.ack()
            else:
                left.append(one.delivery)
        return left

    async def send(self, delayed: Sequence[Delayed]) -> list[bool]:
        """Publishes copies of messages to the tiers; says of each whether the broker has it."""
        try:
            outcomes = await self._broker.publish_all([_copy(one) for one in delayed])
        except Unavailable:
            return [False] * len(delayed)
        return [outcome is None for outcome in outcomes]


def _delays(delivery: Delivery) -> int:
    found = _headers(delivery).get(DELAYS_HEADER)
    return found if isinstance(found, int) else 0


def _headers(delivery: Delivery) -> dict[str, str | int]:
    """What the publisher put in."""
    try:
        found = delivery.headers
    except Exception:
        # Whatever they are, they are not to break this, too.
        log.exception("headers that are none")
        return {}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, str | int)
        and (name == REQUEST_ID_HEADER or not name.startswith(_BROKERS))
    }


def _copy(delayed: Delayed) -> Outgoing:
    delivery = delayed.delivery
    headers = _headers(delivery)
    headers.pop(DELAYS_HEADER, None)
    if delayed.delays:
        headers[DELAYS_HEADER] = delayed.delays
    return Outgoing(
        delayed.tier.exchange.name,
        delayed.routing_key,
        delivery.body,
        headers=headers,
        message_id=delivery.message_id,
        reply_to=delivery.reply_to,
        mandatory=True,
    )
