"""What callers ask for, and on which terms jobs are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from recmesh_jobs.states import Lane
from recmesh_kit.names import join

MAX_DEADLINE = dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for.

    Attributes:
        catalog: The catalog's id.
        user: For whom; empty for the caller.
        session: The visit; empty for none.
        query: The query, serialised.
        deadline: From when on it is not worth starting; None for the default.
        request_id: The caller's; empty for none.
        fingerprint: Hash of what is asked, to tell a reused request id.
    """

    catalog: str
    user: str
    session: str
    query: bytes
    deadline: dt.datetime | None
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Continuation:
    """Which job a caller wants continued.

    Attributes:
        catalog: The catalog's id.
        id: The job's, as the caller wrote it.
        limit: How many results; 0 for as many as before.
        request_id: The caller's; empty for none.
    """

    catalog: str
    id: str
    limit: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What is promised to jobs.

    Attributes:
        deadline: From when on a job of a lane is not worth starting, from its creation, when its caller does not say.
        ttl: How long a job and its answer are kept, from its creation.
    """

    deadline: Mapping[Lane, dt.timedelta]
    ttl: dt.timedelta


def job_name(catalog: str, id: UUID) -> str:  # noqa: A002 - what it is
    """The resource name of a job."""
    return join("catalogs", catalog, "recommendations", str(id))
