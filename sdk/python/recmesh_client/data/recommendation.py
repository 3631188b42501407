"""Jobs and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto

from recmesh_client.data.query import Query
from recmesh_client.data.rows import RowError
from recmesh_client.reasons import ErrorReason


class State(StrEnum):
    """Where a job stands."""

    UNKNOWN = auto()
    QUEUED = auto()
    RUNNING = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    CANCELLED = auto()
    EXPIRED = auto()

    @property
    def ended(self) -> bool:
        """It will not change any more."""
        return self in _ENDED


_ENDED = frozenset((State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED))


class Fallback(StrEnum):
    """What answered when the seed alone could not."""

    UNKNOWN = auto()
    NONE = auto()
    """The seed was understood and used."""
    TEXT = auto()
    """The title is not in the catalog: the results match its words."""
    POPULAR = auto()
    """Nothing is known about the seed: the results are popular items."""


class ReasonType(StrEnum):
    """The kind of a reason."""

    UNKNOWN = auto()
    SIMILAR_TO = auto()
    LIKED_TOGETHER = auto()
    MATCHES_TEXT = auto()
    POPULAR = auto()
    RULE = auto()
    EXPLORATION = auto()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is among the results.

    Attributes:
        type: The kind.
        item: Id of the item that it is compared with; empty when with none.
        title: Title of that item.
        genres: Genres that the two share.
        directors: Directors that the two share.
        cast: Leading cast that the two share.
    """

    type: ReasonType
    item: str = ""
    title: str = ""
    genres: tuple[str, ...] = ()
    directors: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A recommended item.

    Attributes:
        item: Its id.
        title: Its title at that time.
        score: How well it fits, 0 to 1; comparable within one answer only.
        reasons: Why it is here, the strongest first.
    """

    item: str
    title: str
    score: float
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job did not succeed: a reason to branch on, and a sentence for people."""

    reason: ErrorReason
    message: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a job went.

    Attributes:
        queue: From its creation until a worker took it.
        rank: Finding the seed, ranking and explaining.
        total: From its creation until the answer was stored.
    """

    queue: timedelta
    rank: timedelta
    total: timedelta


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A request for recommendations and, once it has run, its answer: a durable job.

    Attributes:
        catalog: The catalog's id.
        id: The job's id, made by the server.
        state: Where the job stands.
        query: What was asked.
        results: The answer, the best first. Only in state SUCCEEDED.
        user: For whom.
        session: The visit that it belongs to.
        resolved_item: Id of the item that a title or item seed was taken to mean; empty when none was found.
        resolved_title: Title of that item.
        resolve_confidence: How sure it is that the seed was understood, 0 to 1.
        fallback: What answered when the seed alone could not.
        filter_relaxed: The filter left too few items and was relaxed.
        error: Why the job failed. Only in states FAILED and EXPIRED.
        model: Id of the model that answered.
        variant: The experiment's variant that answered.
        attribution_token: To be sent with the interactions that follow from this answer.
        attempt_count: How often a worker has begun it.
        continues: Name of the job that this one continues, when it does.
        deadline: From when on it is not worth starting.
        create_time: When it was stored.
        start_time: When the last attempt began.
        end_time: When it ended.
        expire_time: When it will be gone.
        timings: Where the time went. Only in state SUCCEEDED.
    """

    catalog: str
    id: str
    state: State
    query: Query
    results: tuple[Result, ...] = ()
    user: str = ""
    session: str = ""
    resolved_item: str = ""
    resolved_title: str = ""
    resolve_confidence: float = 0.0
    fallback: Fallback = Fallback.NONE
    filter_relaxed: bool = False
    error: JobError | None = None
    model: str = ""
    variant: str = ""
    attribution_token: str = ""
    attempt_count: int = 0
    continues: str = ""
    deadline: datetime | None = None
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    expire_time: datetime | None = None
    timings: Timings | None = None

    @property
    def name(self) -> str:
        """What the job goes by, catalog and id in one: `catalogs/{catalog}/recommendations/{id}`."""
        return f"catalogs/{self.catalog}/recommendations/{self.id}"


Job = Recommendation | str
"""How a job is named in a call: by itself, or by its `name`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of the rows of a batch: the stored jobs in the order of their rows, and the refused rows."""

    recommendations: tuple[Recommendation, ...]
    errors: tuple[RowError, ...]
