from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recmesh_cli.formats import values
from recmesh_cli.formats.rows import Unfit
from recmesh_client import InteractionType

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("Drama|Crime", ("Drama", "Crime")),
        ("Drama | Drama|| Crime ", ("Drama", "Crime")),
        ('["Drama", "Crime"]', ("Drama", "Crime")),
        ([{"id": 1, "name": "Drama"}, {"title": "Crime"}], ("Drama", "Crime")),
        (["Drama", None, ""], ("Drama",)),
    ],
)
def test_lists_come_in_many_shapes(value: Any, expected: tuple[str, ...]) -> None:
    assert values.texts(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1999, 1999), (1999.0, 1999), ("1999", 1999), ("1999-03-31", 1999), ("", None), (0, None)],
)
def test_years(value: Any, expected: int | None) -> None:
    assert values.year(value) == expected
    assert values.year(date(1999, 3, 31)) == 1999


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-31T12:00:00Z",
        "2024-01-31 12:00:00",
        "2024-01-31T14:00:00+02:00",
        "1706702400",
        1706702400,
        1706702400000,
        Decimal(1706702400),
        NOON,
        datetime(2024, 1, 31, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times(value: Any) -> None:
    assert values.moment(value) == NOON


@pytest.mark.parametrize(
    ("convert", "value"),
    [
        (values.year, "MCMXCIX"),
        (values.number, "nan"),
        (values.number, "four"),
        (values.moment, "yesterday"),
        (values.moment, "1e300"),
        (values.moment, [1]),
        (values.truth, "perhaps"),
        (values.text, {"a": 1}),
        (values.text, "\ud800"),
        (values.texts, "[1"),
        (values.texts, 7),
        (values.interaction_type, "unknown"),
        (values.interaction_type, ""),
    ],
)
def test_what_cannot_be_meant_is_refused(convert: Any, value: Any) -> None:
    with pytest.raises(Unfit):
        convert(value)


@pytest.mark.parametrize("said", ["like", "LIKE", "TYPE_LIKE"])
def test_types_of_interactions(said: str) -> None:
    assert values.interaction_type(said) is InteractionType.LIKE


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_makes_an_id_that_the_contract_takes(said: str) -> None:
    made = values.item_id(said)
    assert len(made) <= 128
    assert not re.search(r"[/\x00-\x1f\x7f]", made)
    assert values.item_id(made) == made
    assert 0 < len(values.slug(said, 1979)) <= 128


def test_ids_of_titles() -> None:
    assert values.slug("Amélie", 2001) == "amelie-2001"
    assert values.slug("Чужой: Завет", None) == "чужои-завет"
    assert values.item_id("Face/Off") == "Face%2FOff"


def test_an_interaction_has_the_same_id_in_every_run() -> None:
    one = values.interaction_id("u", "i", InteractionType.LIKE, NOON)
    assert one == values.interaction_id("u", "i", "like", NOON)
    others = {
        values.interaction_id("u", "i", "view", NOON),
        values.interaction_id("u", "i", "like", None),
        values.interaction_id("ui", "", "like", NOON),
    }
    assert len(others | {one}) == 4
