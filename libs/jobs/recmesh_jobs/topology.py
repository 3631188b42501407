"""Exchanges and queues of the job traffic."""

from __future__ import annotations

from recmesh_jobs.states import Lane
from recmesh_kit.index_events import RECOMMENDER_EVENTS
from recmesh_kit.topology import Exchange, Queue, Topology

__all__ = [
    "BULK",
    "INTERACTIVE",
    "JOBS",
    "QUEUE_OF",
    "RECOMMENDER_EVENTS",
    "SUSPECT",
    "TOPOLOGY",
]

JOBS = Exchange("recommender.jobs", "direct")
"""Jobs to workers; the routing key is the queue's name."""

INTERACTIVE = Queue("jobs.interactive", "quorum", bindings=((JOBS.name, "jobs.interactive"),))
BULK = Queue("jobs.bulk", "quorum", bindings=((JOBS.name, "jobs.bulk"),))
SUSPECT = Queue("jobs.suspect", "quorum", bindings=((JOBS.name, "jobs.suspect"),))

QUEUE_OF = {Lane.INTERACTIVE: INTERACTIVE, Lane.BULK: BULK, Lane.SUSPECT: SUSPECT}

TOPOLOGY = Topology(exchanges=(JOBS, RECOMMENDER_EVENTS), queues=(INTERACTIVE, BULK, SUSPECT))
