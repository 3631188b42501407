from collections.abc import Awaitable, Callable

import pytest

from recmesh.catalog.v1.catalog_service_pb2 import (
    CreateCatalogRequest,
    GetItemRequest,
)
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import (
    PurgeInteractionsRequest,
    WriteInteractionRequest,
)
from services.catalog.tests.conftest import ADMIN, EDITOR, Mesh, failure

INVALID = "INVALID_ARGUMENT INVALID_FIELD"
PLANNED = "UNIMPLEMENTED NOT_IMPLEMENTED"


@pytest.mark.parametrize("item_id", ["a/b", "nul\0", "tab\t", "x" * 129, ""])
async def test_item_id(mesh: Mesh, parent: str, item_id: str) -> None:
    assert await failure(mesh.create(parent, item_id, title="x")) == f"{INVALID} item_id"


async def test_item_id_of_128_characters(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "я" * 128)
    assert await mesh.get(item.name) == item


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"title": ""}, "item.title"),
        ({"title": "nul\0"}, "item.title"),
        ({"title": "x" * 513}, "item.title"),
        ({"genres": ["Drama", ""]}, "item.genres[1]"),
        ({"tags": ["t"] * 129}, "item.tags"),
        ({"release_year": 999}, "item.release_year"),
        ({"language": "english!"}, "item.language"),
        ({"average_rating": float("nan")}, "item.average_rating"),
        ({"average_rating": -1}, "item.average_rating"),
        ({"labels": {"a": "x" * 257}}, "item.labels['a']"),
        ({"labels": {"nul\0": "x"}}, "item.labels['nul\\x00'] key"),
    ],
)
async def test_item(mesh: Mesh, parent: str, content: dict[str, object], field: str) -> None:
    assert await failure(mesh.create(parent, "item", **content)) == f"{INVALID} {field}"


@pytest.mark.parametrize("catalog_id", ["", "Upper", "1st", "under_score", "x" * 64, "a\0"])
async def test_catalog_id(mesh: Mesh, catalog_id: str) -> None:
    request = CreateCatalogRequest(catalog_id=catalog_id)
    call = mesh.catalogs.CreateCatalog(request, metadata=ADMIN)
    assert await failure(call) == f"{INVALID} catalog_id"


@pytest.mark.parametrize(
    "name", ["", "items/a", "catalogs/a", "catalogs/a/items/", "catalogs/a/items/\0"]
)
async def test_name(mesh: Mesh, name: str) -> None:
    call = mesh.catalogs.GetItem(GetItemRequest(name=name), metadata=ADMIN)
    assert await failure(call) == f"{INVALID} name"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"type": Interaction.TYPE_UNSPECIFIED}, "interaction.type"),
        ({"type": 99}, "interaction.type"),
        ({"item": ""}, "interaction.item"),
        ({"item": "alien"}, "interaction.item"),
        ({"user": "x" * 129}, "interaction.user"),
        ({"session": "nul\0"}, "interaction.session"),
        ({"value": float("inf")}, "interaction.value"),
    ],
)
async def test_interaction(mesh: Mesh, parent: str, content: dict[str, object], field: str) -> None:
    content = {"item": f"{parent}/items/a", "type": Interaction.TYPE_VIEW, **content}
    interaction = Interaction(**content)  # type: ignore[arg-type]
    request = WriteInteractionRequest(parent=parent, interaction=interaction)
    call = mesh.interactions.WriteInteraction(request, metadata=EDITOR)
    assert await failure(call) == f"{INVALID} {field}"


async def test_interaction_id(mesh: Mesh, parent: str) -> None:
    interaction = Interaction(item=f"{parent}/items/a", type=Interaction.TYPE_VIEW)
    for interaction_id in ("a/b", "nul\0", "x" * 129):
        request = WriteInteractionRequest(
            parent=parent, interaction=interaction, interaction_id=interaction_id
        )
        call = mesh.interactions.WriteInteraction(request, metadata=EDITOR)
        assert await failure(call) == f"{INVALID} interaction_id"


PLANNED_CALLS: list[Callable[[Mesh, str], Awaitable[object]]] = [
    lambda mesh, parent: mesh.interactions.PurgeInteractions(
        PurgeInteractionsRequest(parent=parent, filter="*"), metadata=ADMIN
    ),
]


@pytest.mark.parametrize("call", PLANNED_CALLS)
async def test_planned_method(
    mesh: Mesh, parent: str, call: Callable[[Mesh, str], Awaitable[object]]
) -> None:
    assert await failure(call(mesh, parent)) == PLANNED
