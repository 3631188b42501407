"""The rows of a batch: which are good, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from recmesh.common.v1.error_reason_pb2 import RowError
from recmesh.recommender.v1.recommender_service_pb2 import (
    BatchCreateRecommendationsRequest,
    BatchCreateRecommendationsResponse,
    CreateRecommendationRequest,
)
from recmesh_jobs.job import Job
from recmesh_kit.errors import InvalidArgument, RecmeshError, Violation
from recmesh_kit.validation import validate
from recmesh_recommender import converters
from recmesh_recommender.orders import Order

MOST_BYTES = 7 * 512 * 1024
"""Of a batch. The answer repeats the queries, adds some 300 bytes a row, and has to fit into a message as well: 4 MiB
is the default here and at the callers."""
_MOST_TEXT = 512
"""Characters of an error's texts, so that a thousand errors are no large answer."""


@dataclass(slots=True)
class Rows:
    """The rows of a batch.

    Attributes:
        orders: What the good rows ask for.
        places: Where each of them stands in the batch.
        bad: Why the others are refused.
    """

    orders: list[Order] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    bad: list[RowError] = field(default_factory=list)


def sort_out(request: BatchCreateRecommendationsRequest) -> Rows:
    """Tells the good rows from the bad ones.

    Raises:
        InvalidArgument: They are too long together.
    """
    if request.ByteSize() > MOST_BYTES:
        message = f"are longer than {MOST_BYTES:,} bytes together: send fewer in a call"
        raise InvalidArgument([Violation("requests", message)])
    rows = Rows()
    for place, row in enumerate(request.requests):
        try:
            rows.orders.append(converters.order(_checked(row, request.parent)))
            rows.places.append(place)
        except RecmeshError as error:
            rows.bad.append(_row_error(place, error))
    return rows


def answer(
    rows: Rows, outcomes: Sequence[Job | RecmeshError]
) -> BatchCreateRecommendationsResponse:
    """What became of the rows.

    Args:
        rows: As they were sorted out.
        outcomes: Of the good ones.
    """
    errors, message = list(rows.bad), BatchCreateRecommendationsResponse()
    for place, outcome in zip(rows.places, outcomes, strict=True):
        if isinstance(outcome, Job):
            message.recommendations.append(converters.recommendation(outcome))
        else:
            errors.append(_row_error(place, outcome))
    message.errors.extend(sorted(errors, key=lambda error: error.row))
    return message


def _checked(row: CreateRecommendationRequest, parent: str) -> CreateRecommendationRequest:
    """The row with the parent of the batch, as it would come in a call of its own."""
    if row.parent not in ("", parent):
        raise InvalidArgument(
            [Violation("parent", f"must be empty or {parent!r}, as beside the list")]
        )
    row.parent = parent
    validate(row)
    return row


def _row_error(place: int, error: RecmeshError) -> RowError:
    violations = error.violations if isinstance(error, InvalidArgument) else []
    return RowError(
        row=place,
        reason=error.reason,
        message=error.message[:_MOST_TEXT],
        field=violations[0].field[:_MOST_TEXT] if violations else "",
    )
