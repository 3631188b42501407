"""Chains of jobs, each of which shows what those before it have not shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from recmesh.events.v1.job_events_pb2 import Answer
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.job import Job
from recmesh_jobs.shown import pack, unpack
from recmesh_kit import names


@dataclass(frozen=True, slots=True)
class Link:
    """What the next job of a chain asks.

    Attributes:
        query: The query, serialised.
        shown: What the chain has shown, packed.
        fingerprint: Hash of what is asked, to tell a reused request id.
    """

    query: bytes
    shown: bytes
    fingerprint: bytes


def next_link(job: Job, limit: int) -> Link:
    """What a job's continuation asks. For a long chain it takes milliseconds: call it in a thread.

    Args:
        job: It has succeeded, and comes with what was shown before it.
        limit: How many results; 0 for as many as before.
    """
    query = Query.FromString(job.query)
    query.limit = limit or query.limit
    asked = query.SerializeToString(deterministic=True)
    answer = Answer.FromString(job.answer or b"")
    shown = unpack(job.shown)
    shown += (names.ids(result.item)[1] for result in answer.results)
    fingerprint = hashlib.sha256(b"\x00".join((b"continue", job.id.bytes, asked))).digest()
    return Link(asked, pack(shown), fingerprint)
