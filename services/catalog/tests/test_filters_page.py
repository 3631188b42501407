"""Every example of docs/filters.md."""

import re
from pathlib import Path

import pytest

from demo.data import films
from recmesh.catalog.v1.catalog_service_pb2 import ListItemsRequest
from recmesh_catalog.interactions.filtering import schema
from recmesh_client.convert.item import to_item
from recmesh_kit.errors import InvalidArgument
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from services.catalog.tests.conftest import EDITOR, Mesh

PAGE = (Path(__file__).parents[3] / "docs/filters.md").read_text("utf-8")
BLOCKS = re.findall(r"^```filter items\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
ITEM_FIELDS, INTERACTION_FIELDS = (
    re.findall(r"^\| `.*\| `([^`]+)` \|$", section, re.MULTILINE)
    for section in re.findall(r"^## Fields of \w+\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)
)
# Of the demo films none is hidden, none has a rating, and all have a year and countries.
ALL_OR_NONE = {
    "average_rating > 7.5",
    "average_rating:* OR release_year:*",
    "hidden = false",
    "labels:countries",
}


@pytest.fixture(scope="module")
async def demo(mesh: Mesh) -> str:
    parent = await mesh.catalog()
    catalog = parent.partition("/")[2]
    await mesh.import_items(parent, [to_item(film, catalog) for film in films()])
    return parent


async def count(mesh: Mesh, parent: str, where: str) -> int:
    request = ListItemsRequest(parent=parent, filter=where, page_size=1000)
    return len((await mesh.catalogs.ListItems(request, metadata=EDITOR)).items)


@pytest.mark.parametrize(
    "where", [*(line for block in BLOCKS for line in block.splitlines()), *ITEM_FIELDS]
)
async def test_example_selects_some_films(mesh: Mesh, demo: str, where: str) -> None:
    everything = await count(mesh, demo, "*")
    found = await count(mesh, demo, where)
    assert where in ALL_OR_NONE or 0 < found < everything


@pytest.mark.parametrize("where", INTERACTION_FIELDS)
def test_example_on_interactions_is_one(where: str) -> None:
    assert read(where, schema("films"))


def test_all_examples_and_fields_are_found() -> None:
    assert (len(BLOCKS), len(ITEM_FIELDS), len(INTERACTION_FIELDS)) == (4, 7, 5)
    named = set(re.findall(r"`(\w+)`", re.sub(r"\| [^|]*\|$", "", PAGE, flags=re.MULTILINE)))
    assert named >= {*ITEMS.fields, *schema("films").fields}


def test_example_of_an_error() -> None:
    where, said = re.findall(r"^```text\n(.*)\n(.*)\n```$", PAGE, re.MULTILINE)[0]
    with pytest.raises(InvalidArgument) as caught:
        read(where, ITEMS)
    assert f"filter: {said.rstrip('…')}" in caught.value.message
