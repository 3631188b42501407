"""What the catalog's items do not have; that masks agree with SQL on those is shown with the catalog's tables."""

import numpy as np
import pytest
from numpy.typing import NDArray

from recmesh_kit.filters.check import read
from recmesh_kit.filters.mask import Mask, Texts, select
from recmesh_kit.filters.schema import Field, Kind, Schema

EVENTS = Schema(
    {
        "user": Field(Kind.ID),
        "type": Field(Kind.ENUM, names={"TYPE_VIEW": "VIEW", "TYPE_LIKE": "LIKE"}),
        "time": Field(Kind.TIME),
    }
)
TEXTS = {"user": [["ann"], ["Ann"], [], ["bob"]], "type": [["VIEW"], ["LIKE"], ["VIEW"], ["LIKE"]]}
TIMES = ["2024-01-01T00:00:00", "2024-01-01T00:00:00.000001", "1900-01-01", "0001-01-01"]


class Events:
    rows = 4

    def texts(self, field: str) -> Texts:
        return Texts.of(TEXTS[field])

    def times(self, field: str) -> NDArray[np.datetime64]:
        return np.array(TIMES, "datetime64[us]")

    def label(self, field: str, key: str) -> Texts:
        raise AssertionError(field)

    def labelled(self, field: str) -> Mask:
        raise AssertionError(field)

    def numbers(self, field: str) -> NDArray[np.float64]:
        raise AssertionError(field)

    def flags(self, field: str) -> Mask:
        raise AssertionError(field)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("*", [0, 1, 2, 3]),
        ("user = ann", [0]),
        ("user = nobody", []),
        ("user != ann", [1, 3]),
        ("NOT user = ann", [1, 2, 3]),
        ("user:*", [0, 1, 3]),
        ("user < b", [0, 1]),
        ("user = *n", [0, 1]),
        ("type:TYPE_LIKE", [1, 3]),
        ("type != TYPE_LIKE", [0, 2]),
        ("time > 2024-01-01T01:00:00+01:00", [1]),
        ("time:2024-01-01T00:00:00Z", [0]),
        ("time <= 1900-01-01T00:00:00Z", [2, 3]),
        ("time:* -type:TYPE_VIEW", [1, 3]),
    ],
)
def test_mask(text: str, rows: list[int]) -> None:
    condition = read(text, EVENTS)
    assert condition is not None
    assert list(np.flatnonzero(select(condition, Events()))) == rows


def test_mask_of_no_rows() -> None:
    assert Texts.of([]).row.shape == (0,)
