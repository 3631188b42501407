"""Names, times, lists and reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from recmesh.common.v1 import error_reason_pb2
from recmesh_client.convert.enums import EnumTable
from recmesh_client.data.recommendation import JobError
from recmesh_client.data.rows import RowError
from recmesh_client.reasons import ErrorReason

REASONS = EnumTable(
    ErrorReason, error_reason_pb2.ErrorReason.items(), "ERROR_REASON_", ErrorReason.UNKNOWN
)


def catalog_name(catalog: str) -> str:
    """`catalogs/{catalog}`."""
    return f"catalogs/{catalog}"


def child_name(catalog: str, collection: str, child: str) -> str:
    """`catalogs/{catalog}/{collection}/{child}`."""
    return f"catalogs/{catalog}/{collection}/{child}"


def last_id(name: str) -> str:
    """The last id of a name; empty for an empty one."""
    return name.rpartition("/")[2]


def first_id(name: str) -> str:
    """The first id of a name: of `catalogs/films/items/1`, `films`. Empty when there is none."""
    return name.split("/", 2)[1] if "/" in name else ""


def strings(values: Iterable[str]) -> Iterable[str]:
    """The same values. Raises TypeError for a single string, which would fall apart into characters."""
    if isinstance(values, str):
        raise TypeError(f"a sequence of strings is needed, not the string {values!r}")
    return values


def time(message: Message, field: str) -> datetime | None:
    """A time within a message; None when it is not set."""
    if not message.HasField(field):
        return None
    value = getattr(message, field)
    assert isinstance(value, Timestamp)
    return value.ToDatetime(UTC)


def timestamp(value: datetime | None) -> Timestamp | None:
    """A time for a message. Raises ValueError for one without a time zone."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    wire = Timestamp()
    wire.FromDatetime(value)
    return wire


def length(value: Duration) -> timedelta:
    """A duration, to the microsecond."""
    return value.ToTimedelta()


def job_error(reason: error_reason_pb2.ErrorReason.ValueType, message: str) -> JobError:
    """A job's or a training's error."""
    return JobError(REASONS.member(reason), message)


def row_errors(rows: Sequence[error_reason_pb2.RowError]) -> tuple[RowError, ...]:
    """The refused rows of an import or a batch."""
    return tuple(
        RowError(row.row, last_id(row.resource), REASONS.member(row.reason), row.message, row.field)
        for row in rows
    )
