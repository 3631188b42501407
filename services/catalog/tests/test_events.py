from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    DeleteCatalogRequest,
    DeleteItemRequest,
    UpdateCatalogRequest,
)
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import WriteInteractionRequest
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1.catalog_events_pb2 import (
    CatalogChanged,
    InteractionsWritten,
    ItemChange,
    ItemsChanged,
)
from services.catalog.tests.conftest import ADMIN, ANN, EDITOR, Mesh, failure


async def test_catalog_made_changed_and_deleted(mesh: Mesh) -> None:
    name = await mesh.catalog()
    catalog = name.partition("/")[2]
    changed = CatalogChanged(version=1, catalog=catalog)
    assert await mesh.events(name) == [changed]
    for _ in range(2):
        request = UpdateCatalogRequest(catalog=Catalog(name=name, display_name="Films"))
        await mesh.catalogs.UpdateCatalog(request, metadata=ADMIN)
    assert await mesh.events(name) == [changed]
    await mesh.catalogs.DeleteCatalog(DeleteCatalogRequest(name=name), metadata=ADMIN)
    assert await mesh.events(name) == [CatalogChanged(version=1, catalog=catalog, deleted=True)]


async def test_item_made_changed_and_deleted(mesh: Mesh, parent: str) -> None:
    catalog = parent.partition("/")[2]
    item = await mesh.create(parent, "alien")
    await mesh.update(Item(name=item.name, title="Aliens"))
    await mesh.catalogs.DeleteItem(DeleteItemRequest(name=item.name), metadata=EDITOR)
    assert await mesh.events(parent) == [
        ItemsChanged(version=1, catalog=catalog, changes=[ItemChange(item="alien", revision=1)]),
        ItemsChanged(version=1, catalog=catalog, changes=[ItemChange(item="alien", revision=2)]),
        ItemsChanged(
            version=1,
            catalog=catalog,
            changes=[ItemChange(item="alien", revision=3, deleted=True)],
        ),
    ]


async def test_many_items_are_told_in_messages_of_five_hundred(mesh: Mesh, parent: str) -> None:
    rows = [Item(name=f"{parent}/items/{n}", title="x") for n in range(1000)]
    await mesh.import_items(parent, rows, rows[:1])
    events = await mesh.events(parent)
    assert [len(event.changes) for event in events if isinstance(event, ItemsChanged)] == [500, 500]


async def test_interaction_is_told_whole(mesh: Mesh, parent: str) -> None:
    like = Interaction(item=f"{parent}/items/alien", type=Interaction.TYPE_LIKE)
    request = WriteInteractionRequest(parent=parent, interaction=like)
    written = await mesh.interactions.WriteInteraction(request, metadata=ANN)
    catalog = parent.partition("/")[2]
    assert await mesh.events(parent) == [
        InteractionsWritten(version=1, catalog=catalog, interactions=[written])
    ]


async def test_nothing_is_told_of_what_failed(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "alien")
    await mesh.events(parent)
    assert (await failure(mesh.create(parent, "alien"))).startswith("ALREADY_EXISTS")
    stale = Item(name=f"{parent}/items/alien", title="Aliens", etag="99")
    assert (await failure(mesh.update(stale))).startswith("ABORTED")
    delete = DeleteCatalogRequest(name=parent)
    call = mesh.catalogs.DeleteCatalog(delete, metadata=ADMIN)
    assert (await failure(call)).startswith("FAILED_PRECONDITION")
    assert await mesh.events(parent) == []


async def test_nothing_is_told_of_what_was_rolled_back(mesh: Mesh, parent: str) -> None:
    """The change and its event go together, even when the end of the transaction fails."""
    # A constraint that is checked at the commit only, and that one item breaks.
    await mesh.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''refused''; END'"
    )
    await mesh.sql(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON items DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (NEW.id = 'refused') EXECUTE FUNCTION refuse()"
    )
    try:
        assert await failure(mesh.create(parent, "refused")) == "INTERNAL INTERNAL"
    finally:
        await mesh.sql("DROP FUNCTION refuse CASCADE")
    assert await mesh.item_ids(parent) == []
    assert await mesh.events(parent) == []
