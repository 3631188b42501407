from __future__ import annotations

import pytest

from recmesh_kit import names

ITEM = names.pattern("catalogs/{catalog}/items/{item}")


@pytest.mark.parametrize(
    "name",
    [
        "catalogs/films/items/alien-1979",
        "catalogs/films/items/七人の侍",
        "catalogs/c/items/" + "я" * 128,
    ],
)
def test_names_that_fit(name: str) -> None:
    assert ITEM.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "catalogs/films",
        "catalogs/films/items/",
        "catalogs//items/a",
        "catalogs/films/items/a/b",
        "catalogs/films/users/a",
        "catalogs/films/items/" + "x" * 129,
        "catalogs/films/items/a\n",
        "catalogs/films/items/\0",
        "xcatalogs/films/items/a",
    ],
)
def test_names_that_do_not(name: str) -> None:
    assert not ITEM.fullmatch(name)


def test_ids() -> None:
    assert names.ids("catalogs/films/items/alien") == ("films", "alien")
    assert names.ids("users/me") == ("me",)


def test_join() -> None:
    assert names.join("catalogs", "films", "items", "alien") == "catalogs/films/items/alien"


@pytest.mark.parametrize(
    ("name", "catalog"),
    [
        ("catalogs/films", "films"),
        ("catalogs/films/items/alien", "films"),
        ("catalogs/", None),
        ("catalogs", None),
        ("users/films", None),
        ("", None),
        ("/catalogs/films", None),
    ],
)
def test_the_catalog_of_a_name(name: str, catalog: str | None) -> None:
    assert names.catalog_of(name) == catalog
