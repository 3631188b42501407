"""Queues and dead letters."""

from __future__ import annotations

from recmesh.recommender.v1 import queue_service_pb2 as pb
from recmesh_client.convert.basics import length, time
from recmesh_client.convert.recommendation import from_recommendation
from recmesh_client.data.queue import DeadLetter, Queue, QueueStats


def from_stats(message: pb.QueueStats) -> QueueStats:
    """The queues' figures."""
    queues = (
        Queue(
            queue.id,
            queue.ready_count,
            queue.unacknowledged_count,
            queue.consumer_count,
            length(queue.oldest_age) if queue.HasField("oldest_age") else None,
        )
        for queue in message.queues
    )
    return QueueStats(
        tuple(queues),
        message.unfinished_count,
        message.admission_limit,
        message.dead_letter_count,
        message.broker_reachable,
    )


def from_dead_letter(message: pb.DeadLetter) -> DeadLetter:
    """A job that was given up."""
    return DeadLetter(
        from_recommendation(message.recommendation),
        time(message, "create_time"),
        time(message, "redrive_time"),
    )
