import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from recmesh_kit.ids import uuid7, uuid7_floor, uuid7_time

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_version_and_variant() -> None:
    made = uuid7()
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made != uuid7()


def test_example_of_the_rfc() -> None:
    # RFC 9562, appendix A.6: the first 48 bits are the Unix time in milliseconds.
    made = uuid7(datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC))
    assert str(made).startswith("017f22e2-79b0-7")


def test_ids_sort_by_microsecond() -> None:
    steps = [uuid7(AT + timedelta(microseconds=n)) for n in range(3000)]
    assert steps == sorted(steps)


def test_ids_made_one_after_the_other_sort() -> None:
    made = []
    for _ in range(100):
        now = datetime.now(UTC)
        while datetime.now(UTC) == now:
            pass
        made.append(uuid7())
    assert made == sorted(made)


def test_floor_is_below_every_id_of_its_millisecond_and_above_those_before() -> None:
    floor = uuid7_floor(AT)
    assert uuid7(AT - timedelta(milliseconds=1)) < floor
    assert floor <= uuid7(AT.replace(microsecond=123000))
    assert floor < uuid7(AT)


def test_time_comes_back_to_the_millisecond() -> None:
    assert uuid7_time(uuid7(AT)) == AT.replace(microsecond=123000)
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    assert uuid7_floor(elsewhere) == uuid7_floor(AT)


def test_time_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 7"):
        uuid7_time(uuid.uuid4())
