"""UUID version 7 (RFC 9562, section 5.7): ids that sort by the time of their making."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FRACTION_BITS = 12
_RANDOM_BITS = 62
_VERSION = 7 << 76
_VARIANT = 2 << 62


def uuid7(now: datetime | None = None) -> uuid.UUID:
    """A new id.

    The 12 bits after the millisecond hold its fraction (method 3 of section 6.2), so that ids of one process sort by
    time to about a microsecond. The other 62 bits are random.

    Args:
        now: The time in the id, with a time zone; default the present.
    """
    micros = time.time_ns() // 1000 if now is None else _micros(now)
    random = int.from_bytes(os.urandom(8), "big") & ((1 << _RANDOM_BITS) - 1)
    return _uuid(micros, random)


def uuid7_floor(at: datetime) -> uuid.UUID:
    """The smallest id of that millisecond: every id made before is smaller."""
    micros = _micros(at)
    return _uuid(micros - micros % 1000, 0)


def uuid7_time(id: uuid.UUID) -> datetime:  # noqa: A002 - what it is
    """When the id was made, to the millisecond, in UTC.

    Raises:
        ValueError: It is no id of version 7.
    """
    if id.version != 7:
        raise ValueError(f"{id} is not a UUID of version 7")
    return _EPOCH + timedelta(milliseconds=id.int >> 80)


def _micros(at: datetime) -> int:
    # In whole numbers: a float has not the digits for it.
    return (at - _EPOCH) // _MICROSECOND


def _uuid(micros: int, random: int) -> uuid.UUID:
    millis, rest = divmod(micros, 1000)
    fraction = (rest << _FRACTION_BITS) // 1000
    return uuid.UUID(int=millis << 80 | _VERSION | fraction << 64 | _VARIANT | random)
