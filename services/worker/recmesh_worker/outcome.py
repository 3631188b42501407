"""What comes of a job: an answer, a failure, or another try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.job import Failure
from recmesh_kit.errors import RecmeshError
from recmesh_kit.passing import is_passing
from recmesh_worker import converters
from recmesh_worker.asked import Task
from recmesh_worker.engine.query import Answer

log = structlog.get_logger()

BROKEN = Failure(
    reasons.ERROR_REASON_INTERNAL, "Ranking failed on our side; it is logged under the job's id."
)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The attempt came to nothing, and the next one may do better.

    Attributes:
        alone: Whether that one is without neighbours: one of this batch breaks something, nobody knows which.
        error: What went wrong, as a sentence for people.
    """

    alone: bool
    error: str


Outcome = bytes | Failure | TryAgain
"""A serialised answer; why there is none; or another try."""


def outcome_of(task: Task, answer: Answer | Exception | None, took: timedelta) -> Outcome:
    """What comes of a job that was answered so.

    Args:
        task: The job.
        answer: Of the engine; an error when this very query broke something.
        took: How long the batch was ranked.
    """
    job, query = task.asked.job, task.query
    if isinstance(query, Failure):
        return query
    try:
        if not isinstance(answer, Answer):
            raise answer or LookupError("no answer")
        # Two clocks may differ.
        queued = max(task.claim.start_time - job.create_time, timedelta())
        message = converters.answer_message(answer, job.catalog, queued=queued, ranked=took)
        return message.SerializeToString()
    except Exception as error:
        return outcomes_of_error([task], error)[0]


def outcomes_of_error(tasks: Sequence[Task], error: Exception) -> list[Outcome]:
    """What comes of jobs that broke something together: what passes is tried again; what does not is a failure of the
    one whose fault it is, and as long as nobody knows whose each is tried again alone.

    Args:
        tasks: The jobs.
        error: What went wrong.
    """
    delivery = tasks[0].asked.delivery
    place = delivery.place
    facts = {
        "job": str(tasks[0].asked.job.id),
        "jobs": len(tasks),
        "request_id": delivery.request_id,
        "trace_id": place and place.trace_id,
    }
    if is_passing(error):
        log.warning("jobs are tried again", error=repr(error), **facts)
        return [TryAgain(False, _sentence(error))] * len(tasks)
    log.error("job failed" if len(tasks) == 1 else "jobs failed", exc_info=error, **facts)
    return [BROKEN] if len(tasks) == 1 else [TryAgain(True, _sentence(error))] * len(tasks)


def _sentence(error: Exception) -> str:
    """What went wrong, without a word that is not fit for callers."""
    said = f": {error.message}" if isinstance(error, RecmeshError) else "."
    return f"The last error was {type(error).__name__}{said}"
