from __future__ import annotations

import base64
import json

import pytest

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit import paging
from recmesh_kit.errors import InvalidArgument

SCOPE = ("ListItems", "catalogs/films")


def forged(*parts: object) -> str:
    """A token with a scope that fits, such as anybody can make."""
    digest = json.loads(base64.urlsafe_b64decode(paging.encode(["x"], *SCOPE) + "=="))[0]
    return base64.urlsafe_b64encode(json.dumps([digest, *parts]).encode()).decode()


@pytest.mark.parametrize(
    ("asked", "size"), [(0, 50), (1, 1), (999, 999), (1000, 1000), (2**31 - 1, 1000)]
)
def test_page_size(asked: int, size: int) -> None:
    assert paging.page_size(asked) == size


def test_page_size_of_another_default() -> None:
    assert paging.page_size(0, default=10, most=100) == 10
    assert paging.page_size(101, default=10, most=100) == 100


@pytest.mark.parametrize("cursor", [["alien"], ["2020-01-01", "七人の侍"], [""], ['"\\', "\n"]])
def test_a_token_says_where_the_page_ended(cursor: list[str]) -> None:
    token = paging.encode(cursor, *SCOPE)
    assert paging.decode(token, *SCOPE, length=len(cursor)) == cursor


def test_no_token_is_the_first_page() -> None:
    assert paging.decode("", *SCOPE) is None


@pytest.mark.parametrize("scope", [("ListItems", "catalogs/books"), ("ListItems",), ()])
def test_a_token_of_another_listing(scope: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument):
        paging.decode(paging.encode(["a"], *scope), *SCOPE)


@pytest.mark.parametrize(
    "token",
    [
        "?",
        "é",
        "AAAA",
        "bnVsbA",
        "MQ",
        "e30",
        "W10",
        "[" * 1000,
        base64.urlsafe_b64encode(b"[" * 768).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        forged(),
        forged("a", "b"),
        forged(7),
        forged(None),
        forged("a\0"),
        forged("\ud800"),
    ],
)
def test_damaged_tokens(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        paging.decode(token, *SCOPE)
    assert caught.value.reason == reasons.ERROR_REASON_INVALID_PAGE_TOKEN
