from __future__ import annotations

import pytest

from recmesh_kit.telemetry import place
from recmesh_kit.telemetry.place import Place

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_callers_place_is_read() -> None:
    metadata = (("x-request-id", "r"), ("traceparent", PARENT), ("tracestate", "a=1,b=2"))
    found = place.of_metadata(metadata)
    assert found == Place(TRACE, SPAN, 1, "a=1,b=2")
    assert found is not None
    assert found.sampled


@pytest.mark.parametrize("parent", [PARENT, f"00-{TRACE}-{SPAN}-00"])
def test_it_goes_on_as_it_came(parent: str) -> None:
    headers = {"traceparent": parent, "tracestate": "a=1"}
    found = place.of_headers(headers)
    assert found is not None
    assert found.headers == headers


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = place.of_headers({"traceparent": f"01-{TRACE}-{SPAN}-01-more"})
    assert found == Place(TRACE, SPAN, 1)


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        7,
        b"bytes",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"{PARENT}-more",
        f"01-{TRACE}-{SPAN}-01more",
        f"{PARENT}\n",
    ],
)
def test_what_is_no_place_is_none(parent: object) -> None:
    assert place.of_headers({"traceparent": parent}) is None


@pytest.mark.parametrize("state", ["x" * 513, "a=\x00", "a=\u00e9", 7])
def test_a_state_that_may_not_be_passed_on_is_left_out(state: object) -> None:
    assert place.of_headers({"traceparent": PARENT, "tracestate": state}) == Place(TRACE, SPAN, 1)


def test_what_is_done_belongs_where_it_was_entered() -> None:
    here = Place(TRACE, SPAN, 1)
    token = place.enter(here)
    assert place.current_place() is here
    place.leave(token)
    assert place.current_place() is None
