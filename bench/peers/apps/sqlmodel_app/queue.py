"""The way to RabbitMQ: pika's blocking connection."""

from __future__ import annotations

import pika
from pika.adapters.blocking_connection import BlockingChannel

from bench.peers.apps.settings import Settings
from bench.peers.apps.sqlmodel_app.models import QUEUE


def open_channel(settings: Settings) -> BlockingChannel:
    """A channel with the durable queue. It belongs to the thread that opened it."""
    parameters = pika.URLParameters(settings.amqp_url)
    # A blocking connection answers heartbeats only while it is used, and a thread may wait for long.
    parameters.heartbeat = 0
    channel = pika.BlockingConnection(parameters).channel()
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    return channel
