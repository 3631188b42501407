"""Times as protobuf has them, set in place: several times as fast as `Timestamp.FromDatetime` and a copy."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400


def put_time(target: Timestamp, at: datetime) -> None:
    """Sets a timestamp, mostly a field of a message, to a time with a time zone."""
    since = at - _EPOCH
    target.seconds = since.days * _DAY_SECONDS + since.seconds
    target.nanos = since.microseconds * 1000
