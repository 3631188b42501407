"""Times as messages."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def to_timestamp(time: datetime) -> Timestamp:
    """A time with a time zone, as a message."""
    message = Timestamp()
    message.FromDatetime(time)
    return message
