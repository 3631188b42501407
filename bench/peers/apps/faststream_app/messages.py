"""What both sides know: the queue and what goes through it."""

from __future__ import annotations

from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from bench.peers.apps.settings import Settings

JOBS = RabbitQueue("bench.faststream.jobs", queue_type=QueueType.QUORUM, durable=True)
PREFETCH = 64
"""Unacknowledged messages, and with it jobs at a time: each runs as a task."""


def make_broker(settings: Settings) -> RabbitBroker:
    """A broker without a line of log for each message, and with the bodies as they come."""
    return RabbitBroker(
        settings.amqp_url,
        # A message that no queue takes is an error, and not lost.
        default_channel=Channel(prefetch_count=PREFETCH, on_return_raises=True),
        logger=None,
        apply_types=False,
    )
