import base64
import json

import pytest

from recmesh.catalog.v1.catalog_service_pb2 import ListItemsRequest, ListItemsResponse
from recmesh.catalog.v1.interaction_service_pb2 import ListInteractionsRequest
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit import paging
from services.catalog.tests.conftest import EDITOR, Mesh, failure

INVALID = "INVALID_ARGUMENT INVALID_PAGE_TOKEN"


async def page(mesh: Mesh, parent: str, size: int, token: str = "") -> ListItemsResponse:
    request = ListItemsRequest(parent=parent, page_size=size, page_token=token)
    return await mesh.catalogs.ListItems(request, metadata=EDITOR)


async def test_last_page_that_is_full_has_no_token(mesh: Mesh, parent: str) -> None:
    for item in ("a", "b"):
        await mesh.create(parent, item)
    assert (await page(mesh, parent, 2)).next_page_token == ""
    assert (await page(mesh, parent, 1)).next_page_token != ""


async def test_size_is_fifty_by_default_and_a_thousand_at_most(mesh: Mesh, parent: str) -> None:
    for start in (0, 600):
        rows = [Item(name=f"{parent}/items/{n}", title="x") for n in range(start, start + 600)]
        await mesh.import_items(parent, rows)
    assert len((await page(mesh, parent, 0)).items) == 50
    assert len((await page(mesh, parent, 5000)).items) == 1000


async def test_negative_size(mesh: Mesh, parent: str) -> None:
    call = page(mesh, parent, -1)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD page_size"


async def test_token_of_another_catalog(mesh: Mesh, parent: str) -> None:
    other = await mesh.catalog()
    for item in ("a", "b"):
        await mesh.create(other, item)
    token = (await page(mesh, other, 1)).next_page_token
    assert await failure(page(mesh, parent, 1, token)) == INVALID


@pytest.mark.parametrize("token", ["x", "é", "AAAA", base64.urlsafe_b64encode(b"[1]").decode()])
async def test_token_that_nobody_gave(mesh: Mesh, parent: str, token: str) -> None:
    assert await failure(page(mesh, parent, 1, token)) == INVALID


@pytest.mark.parametrize("time", ["soon", "9" * 30, "-" + "9" * 18])
async def test_token_with_a_time_that_is_none(mesh: Mesh, parent: str, time: str) -> None:
    token = paging.encode([time, "id"], "ListInteractions", parent, "", "")
    request = ListInteractionsRequest(parent=parent, page_token=token)
    call = mesh.interactions.ListInteractions(request, metadata=EDITOR)
    assert await failure(call) == INVALID


async def test_token_with_half_a_character(mesh: Mesh, parent: str) -> None:
    good = paging.encode(["a"], "ListItems", parent, "")
    digest = json.loads(base64.urlsafe_b64decode(good + "=="))
    forged = json.dumps([digest[0], "\ud800"]).encode()
    token = base64.urlsafe_b64encode(forged).decode().rstrip("=")
    assert await failure(page(mesh, parent, 1, token)) == INVALID
