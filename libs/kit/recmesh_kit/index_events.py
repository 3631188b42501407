"""Where it is told how far the index is, and the queue of those who show it.

What is told says how things stand, and is told again now and then. So nobody needs more than the latest: a queue that
is not read loses its oldest messages, and what was told while there was no queue is missed for a minute at most.
"""

from __future__ import annotations

from recmesh_kit.topology import Exchange, Queue, Topology

RECOMMENDER_EVENTS = Exchange("recommender.events", "topic")
"""Jobs that have ended (`recommendation.{catalog}`) and indexes that have changed (`index.{catalog}`), for others to
listen to."""
INDEX_PROGRESS = Queue(
    "index-progress",
    "quorum",
    bindings=((RECOMMENDER_EVENTS.name, "index.#"),),
    max_length=10_000,
    arguments={"x-overflow": "drop-head"},
)
TOPOLOGY = Topology(exchanges=(RECOMMENDER_EVENTS,), queues=(INDEX_PROGRESS,))


def routing_key(catalog: str) -> str:
    """With what an `IndexAdvanced` of a catalog is published."""
    return f"index.{catalog}"
