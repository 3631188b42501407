from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    CreateCatalogRequest,
    DeleteCatalogRequest,
    GetCatalogRequest,
    ListCatalogsRequest,
    UpdateCatalogRequest,
)
from recmesh_kit import testing
from recmesh_kit.testing import bearer
from services.catalog.tests.conftest import ADMIN, ANN, EDITOR, Mesh, Metadata, failure


async def get(mesh: Mesh, name: str, metadata: Metadata = ADMIN) -> Catalog:
    return await mesh.catalogs.GetCatalog(GetCatalogRequest(name=name), metadata=metadata)


async def update(mesh: Mesh, catalog: Catalog, *paths: str) -> Catalog:
    request = UpdateCatalogRequest(catalog=catalog)
    request.update_mask.paths.extend(paths)
    return await mesh.catalogs.UpdateCatalog(request, metadata=ADMIN)


async def delete(mesh: Mesh, name: str, *, force: bool = False) -> None:
    await mesh.catalogs.DeleteCatalog(DeleteCatalogRequest(name=name, force=force), metadata=ADMIN)


async def listed(mesh: Mesh, metadata: Metadata) -> set[str]:
    answer = await mesh.catalogs.ListCatalogs(
        ListCatalogsRequest(page_size=1000), metadata=metadata
    )
    return {catalog.name for catalog in answer.catalogs}


async def test_new_catalog_is_private_and_called_by_its_id(mesh: Mesh) -> None:
    request = CreateCatalogRequest(catalog_id="plain")
    created = await mesh.catalogs.CreateCatalog(request, metadata=ADMIN)
    assert (created.name, created.display_name) == ("catalogs/plain", "plain")
    assert created.visibility == Catalog.VISIBILITY_PRIVATE
    assert created.revision == 0
    assert created.create_time == created.update_time
    assert await get(mesh, created.name) == created


async def test_taken_id(mesh: Mesh, parent: str) -> None:
    request = CreateCatalogRequest(catalog_id=parent.partition("/")[2])
    assert (
        await failure(mesh.catalogs.CreateCatalog(request, metadata=ADMIN))
        == "ALREADY_EXISTS RESOURCE_EXISTS"
    )


async def test_only_an_admin_makes_catalogs(mesh: Mesh) -> None:
    request = CreateCatalogRequest(catalog_id="not-mine")
    call = mesh.catalogs.CreateCatalog(request, metadata=EDITOR)
    assert await failure(call) == "PERMISSION_DENIED ROLE_REQUIRED"


async def test_counts_the_items_that_the_caller_sees(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "seen")
    await mesh.create(parent, "hidden", hidden=True)
    assert (await get(mesh, parent)).item_count == 2
    assert (await get(mesh, parent, ANN)).item_count == 1


async def test_lists_public_catalogs_and_those_one_has_a_role_for(mesh: Mesh) -> None:
    public = await mesh.catalog()
    private = await mesh.catalog(public=False)
    mine = await mesh.catalog(public=False)
    granted = bearer("ann", catalogs={mine.partition("/")[2]: testing.USER})
    assert {public, private, mine} & await listed(mesh, ANN) == {public}
    assert {public, private, mine} & await listed(mesh, granted) == {public, mine}
    assert {public, private, mine} & await listed(mesh, EDITOR) == {public, private, mine}


async def test_pages_of_catalogs(mesh: Mesh) -> None:
    for _ in range(3):
        await mesh.catalog()
    names: list[str] = []
    token = ""
    while token or not names:
        request = ListCatalogsRequest(page_size=2, page_token=token)
        answer = await mesh.catalogs.ListCatalogs(request, metadata=ADMIN)
        names += [catalog.name for catalog in answer.catalogs]
        token = answer.next_page_token
    assert names == sorted(names)
    assert set(names) == await listed(mesh, ADMIN)


async def test_update_changes_what_the_mask_names(mesh: Mesh, parent: str) -> None:
    sent = Catalog(name=parent, display_name="Films", description="Old and new")
    updated = await update(mesh, sent, "description")
    assert (updated.description, updated.display_name) == ("Old and new", parent[9:])
    assert updated.visibility == Catalog.VISIBILITY_PUBLIC
    assert updated.update_time.ToDatetime() > updated.create_time.ToDatetime()


async def test_update_without_a_mask_changes_what_is_set(mesh: Mesh, parent: str) -> None:
    updated = await update(mesh, Catalog(name=parent, display_name="Films"))
    assert updated.display_name == "Films"
    assert updated.visibility == Catalog.VISIBILITY_PUBLIC


async def test_update_of_everything_clears_what_is_not_set(mesh: Mesh, parent: str) -> None:
    await update(mesh, Catalog(name=parent, display_name="Films", description="Old and new"))
    updated = await update(mesh, Catalog(name=parent), "*")
    assert (updated.display_name, updated.description) == (parent[9:], "")
    assert updated.visibility == Catalog.VISIBILITY_PRIVATE


async def test_update_of_an_output_is_refused(mesh: Mesh, parent: str) -> None:
    call = update(mesh, Catalog(name=parent, revision=7), "revision")
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD update_mask"


async def test_update_of_an_unknown_catalog(mesh: Mesh) -> None:
    call = update(mesh, Catalog(name="catalogs/none", display_name="x"))
    assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND"


async def test_catalog_with_items_is_deleted_by_force_only(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    assert await failure(delete(mesh, parent)) == "FAILED_PRECONDITION WRONG_STATE"
    await delete(mesh, parent, force=True)
    assert await failure(get(mesh, parent)) == "NOT_FOUND RESOURCE_NOT_FOUND"
    assert await failure(mesh.get(item.name)) == "NOT_FOUND RESOURCE_NOT_FOUND"


async def test_nothing_of_a_deleted_catalog_is_in_the_next_of_its_name(
    mesh: Mesh, parent: str
) -> None:
    await mesh.create(parent, "alien")
    await delete(mesh, parent, force=True)
    again = CreateCatalogRequest(catalog_id=parent[9:])
    await mesh.catalogs.CreateCatalog(again, metadata=ADMIN)
    assert await mesh.item_ids(parent) == []


async def test_revisions_go_on_in_the_next_catalog_of_its_name(mesh: Mesh, parent: str) -> None:
    last = await mesh.create(parent, "alien")
    await delete(mesh, parent, force=True)
    again = CreateCatalogRequest(catalog_id=parent[9:])
    await mesh.catalogs.CreateCatalog(again, metadata=ADMIN)
    assert (await mesh.create(parent, "alien")).revision > last.revision


async def test_delete_of_an_unknown_catalog(mesh: Mesh) -> None:
    assert await failure(delete(mesh, "catalogs/none")) == "NOT_FOUND RESOURCE_NOT_FOUND"
