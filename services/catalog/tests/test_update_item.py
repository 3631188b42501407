from recmesh.catalog.v1.item_pb2 import Item
from services.catalog.tests.conftest import Mesh, failure


async def test_mask_names_what_changes(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien", release_year=1979, genres=["Horror"])
    sent = Item(name=item.name, title="Not this", genres=["Horror", "Science Fiction"])
    updated = await mesh.update(sent, "genres")
    assert (updated.title, updated.release_year) == ("Alien", 1979)
    assert list(updated.genres) == ["Horror", "Science Fiction"]
    assert updated == await mesh.get(item.name)


async def test_masked_field_that_is_not_set_is_cleared(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(
        parent, "alien", release_year=1979, average_rating=8, labels={"a": "b"}
    )
    sent = Item(name=item.name)
    updated = await mesh.update(sent, "release_year", "average_rating", "labels")
    assert updated.release_year == 0
    assert not updated.HasField("average_rating")
    assert updated.labels == {}


async def test_empty_mask_changes_what_is_set(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien", release_year=1979, hidden=True)
    updated = await mesh.update(Item(name=item.name, title="Alien 1", hidden=False))
    assert (updated.title, updated.release_year, updated.hidden) == ("Alien 1", 1979, True)


async def test_star_replaces_everything(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien", release_year=1979, hidden=True)
    updated = await mesh.update(Item(name=item.name, title="Alien"), "*")
    assert (updated.release_year, updated.hidden) == (0, False)


async def test_star_needs_a_title(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    call = mesh.update(Item(name=item.name, release_year=1979), "*")
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD item.title"


async def test_unknown_and_fixed_paths_are_refused(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    for path in ("colour", "title.x", "name", "revision", "etag", "create_time"):
        call = mesh.update(Item(name=item.name, title="Alien"), path)
        assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD update_mask", path


async def test_change_gets_the_next_revision(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    await mesh.create(parent, "brazil")
    updated = await mesh.update(Item(name=item.name, title="Aliens"))
    assert updated.revision == 3
    assert updated.etag != item.etag
    assert updated.create_time == item.create_time
    assert updated.update_time.ToNanoseconds() > item.update_time.ToNanoseconds()


async def test_update_that_changes_nothing(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien", average_rating=8.5, labels={"a": "b"})
    await mesh.events(parent)
    assert await mesh.update(item, "*") == item
    assert await mesh.events(parent) == []


async def test_etag_that_is_current(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    updated = await mesh.update(Item(name=item.name, title="Aliens", etag=item.etag))
    assert updated.title == "Aliens"


async def test_etag_that_is_old(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    await mesh.update(Item(name=item.name, title="Aliens"))
    call = mesh.update(Item(name=item.name, title="Alien 3", etag=item.etag))
    assert await failure(call) == "ABORTED ETAG_MISMATCH"
    assert (await mesh.get(item.name)).title == "Aliens"


async def test_missing_item(mesh: Mesh, parent: str) -> None:
    call = mesh.update(Item(name=f"{parent}/items/none", title="None"))
    assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND"


async def test_missing_item_is_made_of_all_fields_when_allowed(mesh: Mesh, parent: str) -> None:
    sent = Item(name=f"{parent}/items/alien", title="Alien", release_year=1979)
    created = await mesh.update(sent, "release_year", allow_missing=True)
    assert (created.title, created.release_year, created.revision) == ("Alien", 1979, 1)
    assert created == await mesh.get(created.name)


async def test_missing_item_is_not_made_without_a_title(mesh: Mesh, parent: str) -> None:
    sent = Item(name=f"{parent}/items/alien", release_year=1979)
    call = mesh.update(sent, "release_year", allow_missing=True)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD item.title"


async def test_known_item_is_changed_by_the_mask_though_missing_is_allowed(
    mesh: Mesh, parent: str
) -> None:
    item = await mesh.create(parent, "alien")
    sent = Item(name=item.name, title="Not this", release_year=1979)
    updated = await mesh.update(sent, "release_year", allow_missing=True)
    assert (updated.title, updated.release_year) == ("Alien", 1979)


async def test_item_that_went_since_its_etag_was_read(mesh: Mesh, parent: str) -> None:
    sent = Item(name=f"{parent}/items/alien", title="Alien", etag="1")
    call = mesh.update(sent, allow_missing=True)
    assert await failure(call) == "ABORTED ETAG_MISMATCH"
