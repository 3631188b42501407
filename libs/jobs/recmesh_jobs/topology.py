"""Exchanges and queues of the job traffic."""

from __future__ import annotations

from recmesh_jobs.states import Lane
from recmesh_kit.topology import Exchange, Queue, Topology

JOBS = Exchange("recommender.jobs", "direct")
"""Jobs to workers; the routing key is the queue's name."""
RECOMMENDER_EVENTS = Exchange("recommender.events", "topic")
"""Jobs that have ended, for others to listen to."""

INTERACTIVE = Queue("jobs.interactive", "quorum", bindings=((JOBS.name, "jobs.interactive"),))
BULK = Queue("jobs.bulk", "quorum", bindings=((JOBS.name, "jobs.bulk"),))
SUSPECT = Queue("jobs.suspect", "quorum", bindings=((JOBS.name, "jobs.suspect"),))

QUEUE_OF = {Lane.INTERACTIVE: INTERACTIVE, Lane.BULK: BULK, Lane.SUSPECT: SUSPECT}

TOPOLOGY = Topology(exchanges=(JOBS, RECOMMENDER_EVENTS), queues=(INTERACTIVE, BULK, SUSPECT))
