from collections.abc import Awaitable

from recmesh.catalog.v1.catalog_service_pb2 import (
    BatchGetItemsRequest,
    DeleteCatalogRequest,
    DeleteItemRequest,
    GetCatalogRequest,
    ListItemsRequest,
    SearchItemsRequest,
)
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import (
    ListInteractionsRequest,
    WriteInteractionRequest,
)
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit import testing
from recmesh_kit.testing import bearer
from services.catalog.tests.conftest import ADMIN, ANN, Mesh, Metadata, failure

NOT_FOUND = "NOT_FOUND RESOURCE_NOT_FOUND"
DENIED = "PERMISSION_DENIED ROLE_REQUIRED"


async def reads(mesh: Mesh, parent: str, metadata: Metadata) -> list[str]:
    """What comes of every way to look into a catalog."""
    item = f"{parent}/items/alien"
    like = Interaction(item=item, type=Interaction.TYPE_LIKE)
    calls: list[Awaitable[object]] = [
        mesh.catalogs.GetCatalog(GetCatalogRequest(name=parent), metadata=metadata),
        mesh.get(item, metadata),
        mesh.catalogs.BatchGetItems(
            BatchGetItemsRequest(parent=parent, names=[item], allow_missing=True),
            metadata=metadata,
        ),
        mesh.catalogs.ListItems(ListItemsRequest(parent=parent), metadata=metadata),
        mesh.catalogs.SearchItems(SearchItemsRequest(parent=parent), metadata=metadata),
        mesh.catalogs.SearchItems(
            SearchItemsRequest(parent=parent, query="alien"), metadata=metadata
        ),
        mesh.interactions.ListInteractions(
            ListInteractionsRequest(parent=parent), metadata=metadata
        ),
        mesh.interactions.WriteInteraction(
            WriteInteractionRequest(parent=parent, interaction=like), metadata=metadata
        ),
    ]
    return [await failure(call) for call in calls]


async def test_private_catalog_is_not_there_for_strangers(mesh: Mesh) -> None:
    private = await mesh.catalog(public=False)
    await mesh.create(private, "alien")
    missing = await reads(mesh, "catalogs/none", ANN)
    assert await reads(mesh, private, ANN) == missing == [NOT_FOUND] * 8


async def test_private_catalog_is_there_for_those_with_a_role_for_it(mesh: Mesh) -> None:
    private = await mesh.catalog(public=False)
    item = await mesh.create(private, "alien")
    granted = bearer("ann", catalogs={private.partition("/")[2]: testing.USER})
    assert await mesh.get(item.name, granted) == item
    assert await mesh.item_ids(private, granted) == ["alien"]


async def test_role_for_one_catalog_opens_no_other(mesh: Mesh) -> None:
    mine, other = await mesh.catalog(public=False), await mesh.catalog(public=False)
    item = await mesh.create(other, "alien")
    editor = bearer("ed", catalogs={mine.partition("/")[2]: testing.EDITOR})
    assert await failure(mesh.get(item.name, editor)) == NOT_FOUND
    sent = Item(name=item.name, title="Mine")
    assert await failure(mesh.update(sent, metadata=editor)) == DENIED
    assert await failure(mesh.import_items(other, [sent], metadata=editor)) == DENIED


async def test_import_does_not_reach_beyond_the_catalog_of_its_first_message(mesh: Mesh) -> None:
    mine, other = await mesh.catalog(), await mesh.catalog()
    editor = bearer("ed", catalogs={mine.partition("/")[2]: testing.EDITOR})
    sent = Item(name=f"{other}/items/alien", title="Alien")
    answer = await mesh.import_items(mine, [sent], metadata=editor)
    assert (answer.failed_count, answer.errors[0].field) == (1, "name")
    assert await mesh.item_ids(other) == []


async def test_hidden_item_is_not_there_for_users(mesh: Mesh, parent: str) -> None:
    hidden = await mesh.create(parent, "hidden", hidden=True)
    await mesh.create(parent, "seen")
    assert await failure(mesh.get(hidden.name, ANN)) == NOT_FOUND
    assert await mesh.item_ids(parent, ANN) == ["seen"]
    request = BatchGetItemsRequest(parent=parent, names=[hidden.name], allow_missing=True)
    assert not (await mesh.catalogs.BatchGetItems(request, metadata=ANN)).items


async def test_hidden_item_is_there_for_services_and_editors_of_the_catalog(
    mesh: Mesh, parent: str
) -> None:
    hidden = await mesh.create(parent, "hidden", hidden=True)
    editor = bearer("ed", catalogs={parent.partition("/")[2]: testing.EDITOR})
    for metadata in (editor, bearer("worker", testing.SERVICE)):
        assert await mesh.get(hidden.name, metadata) == hidden


async def test_users_change_nothing(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    calls: list[Awaitable[object]] = [
        mesh.update(item, metadata=ANN),
        mesh.import_items(parent, [item], metadata=ANN),
        mesh.catalogs.DeleteItem(DeleteItemRequest(name=item.name), metadata=ANN),
        mesh.catalogs.DeleteCatalog(DeleteCatalogRequest(name=parent), metadata=ANN),
    ]
    assert [await failure(call) for call in calls] == [DENIED] * 4


async def test_item_of_a_deleted_catalog(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    request = DeleteCatalogRequest(name=parent, force=True)
    await mesh.catalogs.DeleteCatalog(request, metadata=ADMIN)
    calls: list[Awaitable[object]] = [
        mesh.update(item),
        mesh.import_items(parent, [item]),
        mesh.create(parent, "b"),
    ]
    for call in calls:
        assert await failure(call) == NOT_FOUND
