"""Between the contract's messages and the types of this room."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from recmesh.recommender.v1 import queue_service_pb2 as pb
from recmesh_jobs.dead_letters import FILTERS, DeadLetter, Position
from recmesh_kit import names, paging
from recmesh_kit.errors import InvalidArgument, NotFound, Violation
from recmesh_kit.filters import check
from recmesh_kit.filters.tree import Condition
from recmesh_kit.times import put_time
from recmesh_recommender.converters import recommendation
from recmesh_recommender.queues.figures import Figures

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def stats(found: Figures) -> pb.QueueStats:
    """The queues as callers see them."""
    message = pb.QueueStats(
        unfinished_count=found.unfinished,
        admission_limit=found.limit,
        dead_letter_count=found.dead,
        broker_reachable=found.reachable,
    )
    for queue in found.queues:
        entry = message.queues.add(
            id=queue.id,
            ready_count=queue.ready,
            unacknowledged_count=queue.running,
            consumer_count=queue.consumers,
        )
        if queue.oldest is not None:
            entry.oldest_age.FromTimedelta(queue.oldest)
    return message


def dead_letter(letter: DeadLetter) -> pb.DeadLetter:
    """A dead letter as callers see it."""
    message = pb.DeadLetter(recommendation=recommendation(letter.job))
    put_time(message.create_time, letter.create_time)
    if letter.redrive_time is not None:
        put_time(message.redrive_time, letter.redrive_time)
    return message


def cursor(letter: DeadLetter) -> list[str]:
    """Where a page ends, as its token holds it: microseconds since 1970, and the id."""
    return [str((letter.create_time - _EPOCH) // _MICROSECOND), str(letter.job.id)]


def position(parts: list[str]) -> Position:
    """Where a page ended, by its token.

    Raises:
        InvalidArgument: The token is no good.
    """
    microseconds, id_ = parts
    try:
        return Position(_EPOCH + int(microseconds) * _MICROSECOND, UUID(id_))
    except (ValueError, OverflowError):
        raise paging.invalid_token() from None


def named(request: pb.RedriveDeadLettersRequest) -> list[tuple[str, UUID]]:
    """The jobs that a request names, each once.

    Raises:
        InvalidArgument: There is a filter too.
        NotFound: A name that no job can have.
    """
    if request.filter:
        raise InvalidArgument([Violation("filter", "must be empty where there are names")])
    found: dict[tuple[str, UUID], None] = {}
    for name in request.names:
        catalog, text = names.ids(name)
        found[catalog, _id(name, text)] = None
    return list(found)


def _id(name: str, text: str) -> UUID:
    try:
        found = UUID(text)
    except ValueError:
        raise NotFound(name) from None
    if str(found) != text:
        raise NotFound(name)
    return found


def condition(request: pb.RedriveDeadLettersRequest) -> Condition:
    """What the filter of a request selects.

    Raises:
        InvalidArgument: There is none, or it is none of dead letters.
    """
    found = check.read(request.filter, FILTERS)
    if found is None:
        raise InvalidArgument(
            [Violation("filter", "is needed where there are no names; * for all")]
        )
    return found
