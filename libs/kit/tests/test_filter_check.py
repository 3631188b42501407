from datetime import UTC, datetime

import pytest

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import InvalidArgument
from recmesh_kit.filters.check import MAX_COMPARISONS, read
from recmesh_kit.filters.schema import ITEMS, Field, Kind, Schema, fold
from recmesh_kit.filters.tree import And, Compare, Condition, Match, Not, Or, Present, Target

EVENTS = Schema(
    {
        "user": Field(Kind.ID),
        "item": Field(Kind.ID, prefix="catalogs/films/items/"),
        "type": Field(Kind.ENUM, names={"TYPE_VIEW": "VIEW", "TYPE_LIKE": "LIKE"}),
        "time": Field(Kind.TIME),
    }
)
YEAR = Target("release_year", Kind.INTEGER)
TITLE = Target("title", Kind.TEXT)
OTHER_YEAR: Condition = And((Present(YEAR), Not(Compare(YEAR, "=", 1))))
STUDIO = Target("labels", Kind.LABELS, "studio")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("release_year >= 1980", Compare(YEAR, ">=", 1980)),
        ('release_year:"1980"', Compare(YEAR, "=", 1980)),
        ("release_year != 1", OTHER_YEAR),
        ("release_year:*", Present(YEAR)),
        ("average_rating < 2e1", Compare(Target("average_rating", Kind.NUMBER), "<", 20.0)),
        ("hidden = false", Compare(Target("hidden", Kind.BOOLEAN), "=", False)),
        ("title = ÉTÉ", Match(TITLE, "été")),
        ("title = *x", Match(TITLE, "x", open_start=True)),
        ("title:x", Match(TITLE, "x", True, True)),
        ("title:x*", Match(TITLE, "x", open_end=True)),
        ("title > X", Compare(TITLE, ">", "x")),
        ("genres:Drama", Match(Target("genres", Kind.TEXTS), "drama")),
        ("labels:Studio", Present(Target("labels", Kind.LABELS, "Studio"))),
        ("labels:*", Present(Target("labels", Kind.LABELS))),
        ("labels.studio:*", Present(STUDIO)),
        ("labels.studio:Fox", Match(STUDIO, "fox")),
        ("labels.studio >= a", Compare(STUDIO, ">=", "a")),
    ],
)
def test_condition(text: str, condition: Condition) -> None:
    assert read(text, ITEMS) == condition


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("user = Ann", Match(Target("user", Kind.ID), "Ann")),
        ("item = catalogs/films/items/alien", Match(Target("item", Kind.ID), "alien")),
        ("type = TYPE_LIKE", Compare(Target("type", Kind.ENUM), "=", "LIKE")),
        (
            "time < 2024-02-29T00:30:00.5+01:00",
            Compare(Target("time", Kind.TIME), "<", datetime(2024, 2, 28, 23, 30, 0, 500_000, UTC)),
        ),
    ],
)
def test_condition_on_events(text: str, condition: Condition) -> None:
    assert read(text, EVENTS) == condition


def test_value_alone_is_looked_for_in_the_texts() -> None:
    found = read("x", ITEMS)
    assert isinstance(found, Or)
    assert found.parts[0] == Match(TITLE, "x", True, True)
    assert Match(Target("cast", Kind.TEXTS), "x") in found.parts


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("title:x AND yaer > 5", 13, "'yaer' is not a field: there are title, genres"),
        ("revision > 5", 1, "not a field"),
        ("title.x = 5", 1, "no fields within"),
        ("labels.a.b = 5", 1, "quote a key"),
        ("genres = Drama", 8, "goes with : only"),
        ("hidden > false", 8, "goes with = != : only"),
        ("labels = x", 8, "name a label"),
        ("labels:x*", 8, "no wildcards"),
        ("release_year > 19.5", 16, "not a whole number"),
        ("release_year = 19*", 16, "has no wildcards"),
        ("release_year = 9223372036854775808", 16, "not a whole number"),
        ("release_year = १९८०", 16, "not a whole number"),
        ("average_rating > nan", 18, "not a number"),
        ("average_rating > 1e999", 18, "not a number"),
        ("average_rating > 1_0", 18, "not a number"),
        ("hidden = TRUE", 10, "not true or false"),
        ("title < a*", 9, "with =, != and : only"),
        ('title = ""', 9, "NOT field:"),
        ('genres:""', 8, "NOT field:"),
        ('""', 1, "NOT field:"),
    ],
)
def test_what_is_wrong_and_where(text: str, column: int, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        read(text, ITEMS)
    assert caught.value.metadata == {"column": str(column)}
    assert caught.value.reason == reasons.ERROR_REASON_INVALID_FILTER


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("type = LIKE", 8, "one of TYPE_VIEW, TYPE_LIKE"),
        ("type = type_like", 8, "one of"),
        ("item = alien", 8, "must begin with"),
        ("item = *alien", 8, "must begin with"),
        ("time > 2024-01-31", 8, "not a time"),
        ("time > 2024-01-31T12:00:00", 8, "not a time"),
        ("time > 2024-02-30T12:00:00Z", 8, "not a time"),
        ("time > 0001-01-01T00:00:00+10:00", 8, "not a time"),
        ("time > 2024-01-31T12:00:00.1234567Z", 8, "not a time"),
        ("ann", 1, "needs a field"),
    ],
)
def test_what_is_wrong_with_events(text: str, column: int, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        read(text, EVENTS)
    assert caught.value.metadata == {"column": str(column)}


@pytest.mark.parametrize("text", ["{}:x", "{}(x)", "hidden:{}", "{}) a", "title:{}<x"])
def test_message_repeats_little_of_the_filter(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(text.format("я" * 4000), ITEMS)
    assert len(caught.value.message) < 300


def test_number_of_comparisons_is_bounded() -> None:
    most = " OR ".join(["hidden:true"] * MAX_COMPARISONS)
    assert read(most, ITEMS)
    with pytest.raises(InvalidArgument, match="more than 100") as caught:
        read(f"{most} x", ITEMS)
    assert caught.value.metadata == {"column": str(len(most) + 2)}


def test_a_value_without_a_field_is_a_comparison_with_each_field() -> None:
    most = MAX_COMPARISONS // len(ITEMS.anywhere)
    assert read(" ".join(["*x*"] * most), ITEMS)
    with pytest.raises(InvalidArgument, match="more than 100"):
        read(" ".join(["*x*"] * (most + 1)), ITEMS)


def test_folding_forgets_case_and_how_accents_are_encoded() -> None:
    assert fold("STRASSE") == fold("straße")
    assert fold("AME\u0301LIE") == fold("amélie") != fold("amelie")
    assert fold("СТАЛКЕР") == "сталкер"
