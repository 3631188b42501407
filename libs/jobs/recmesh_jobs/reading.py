"""Jobs read by their ids, those that are asked for at the same time in one statement."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from asyncpg import Connection

from recmesh_jobs.job import Job
from recmesh_jobs.repository import job_of

# By the bounds the partitions of other days are left out.
_READ = """
    SELECT id, catalog, user_id, session, lane, query, deadline, create_time, expire_time, state, version, attempts,
        start_time, end_time, error_reason, error_message, continues, CASE WHEN $4 THEN answer END AS answer
    FROM recommender.jobs
    WHERE id = ANY($1::uuid[]) AND id BETWEEN $2 AND $3 AND expire_time > now()
"""


async def read(
    connection: Connection, ids: Collection[UUID], *, answers: bool = True
) -> dict[UUID, Job]:
    """The jobs with these ids that are there; one past its TTL is not.

    Args:
        connection: Of the driver.
        ids: Of the jobs.
        answers: Whether their answers are read too.
    """
    if not ids:
        return {}
    found = await connection.fetch(_READ, ids, min(ids), max(ids), answers)
    return {row["id"]: job_of(row) for row in found}
