import asyncio

from recmesh.catalog.v1.catalog_service_pb2 import (
    BatchCreateItemsRequest,
    BatchGetItemsRequest,
    CreateItemRequest,
    DeleteItemRequest,
    GetCatalogRequest,
)
from recmesh.catalog.v1.item_pb2 import Item
from services.catalog.tests.conftest import ADMIN, ANN, EDITOR, Mesh, failure

FULL = {
    "title": "Спирит: «Душа»",
    "original_title": "千と千尋の神隠し",
    "alternate_titles": ["Spirited Away", "Унесённые призраками", "Spirited Away"],
    "description": 'A girl\'s parents; "quoted" \\ and {braces, NULL}\nsecond line',
    "genres": ["Animation", "Science Fiction"],
    "tags": ["bath house", "", "a,b"][::2],
    "release_year": 2001,
    "directors": ["Hayao Miyazaki"],
    "cast": ["Rumi Hiiragi", "O'Neil"],
    "language": "ja",
    "image_uri": "https://example.com/a.jpg",
    "average_rating": 8.6000000000000014,
    "hidden": True,
    "labels": {"studio": "Ghibli", "": "empty key", "quote'": '"'},
}


def batch(parent: str, *ids: str) -> BatchCreateItemsRequest:
    requests = [CreateItemRequest(item_id=id_, item=Item(title=id_)) for id_ in ids]
    return BatchCreateItemsRequest(parent=parent, requests=requests)


async def test_item_is_read_as_it_was_written(mesh: Mesh, parent: str) -> None:
    created = await mesh.create(parent, "spirited-away", **FULL)
    name = f"{parent}/items/spirited-away"
    sent = Item(name=name, **FULL)  # type: ignore[arg-type]
    output_only = ("revision", "etag", "create_time", "update_time")
    plain = Item()
    plain.CopyFrom(created)
    for field in output_only:
        plain.ClearField(field)  # type: ignore[arg-type]
    assert plain == sent
    assert await mesh.get(name) == created


async def test_first_item_has_revision_one_and_an_etag(mesh: Mesh, parent: str) -> None:
    created = await mesh.create(parent, "alien")
    assert created.revision == 1
    assert created.etag
    assert created.create_time == created.update_time
    catalog = await mesh.catalogs.GetCatalog(GetCatalogRequest(name=parent), metadata=ADMIN)
    assert catalog.revision == 1


async def test_rating_of_zero_is_not_an_unknown_one(mesh: Mesh, parent: str) -> None:
    bad = await mesh.create(parent, "bad", average_rating=0)
    unrated = await mesh.create(parent, "unrated")
    assert (await mesh.get(bad.name)).HasField("average_rating")
    assert not (await mesh.get(unrated.name)).HasField("average_rating")


async def test_taken_id(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "alien")
    call = mesh.create(parent, "alien", title="Another")
    assert await failure(call) == "ALREADY_EXISTS RESOURCE_EXISTS"


async def test_unknown_catalog(mesh: Mesh) -> None:
    call = mesh.create("catalogs/none", "alien")
    assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND"


async def test_same_id_in_two_catalogs_is_two_items(mesh: Mesh, parent: str) -> None:
    other = await mesh.catalog()
    await mesh.create(parent, "alien", title="One")
    await mesh.create(other, "alien", title="Two")
    assert (await mesh.get(f"{parent}/items/alien")).title == "One"
    assert (await mesh.get(f"{other}/items/alien")).title == "Two"


async def test_concurrent_creations_get_distinct_revisions_in_order(
    mesh: Mesh, parent: str
) -> None:
    created = await asyncio.gather(*(mesh.create(parent, f"film-{n}") for n in range(20)))
    assert sorted(item.revision for item in created) == list(range(1, 21))
    by_time = sorted(created, key=lambda item: item.update_time.ToNanoseconds())
    assert by_time == sorted(created, key=lambda item: item.revision)


async def test_batch_is_created_in_its_order(mesh: Mesh, parent: str) -> None:
    request = batch(parent, "c", "a", "b")
    answer = await mesh.catalogs.BatchCreateItems(request, metadata=EDITOR)
    assert [(item.title, item.revision) for item in answer.items] == [("c", 1), ("a", 2), ("b", 3)]


async def test_batch_with_a_taken_id_creates_nothing(mesh: Mesh, parent: str) -> None:
    for taken in ("b", "c"):
        await mesh.create(parent, taken)
    await mesh.events(parent)
    request = batch(parent, "a", "c", "b")
    call = mesh.catalogs.BatchCreateItems(request, metadata=EDITOR)
    assert await failure(call) == "ALREADY_EXISTS RESOURCE_EXISTS"
    assert await mesh.item_ids(parent) == ["b", "c"]
    assert await mesh.events(parent) == []


async def test_batch_with_a_repeated_id(mesh: Mesh, parent: str) -> None:
    call = mesh.catalogs.BatchCreateItems(batch(parent, "a", "b", "a"), metadata=EDITOR)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD requests[2].item_id"


async def test_batch_for_two_catalogs(mesh: Mesh, parent: str) -> None:
    request = batch(parent, "a")
    request.requests[0].parent = "catalogs/another"
    call = mesh.catalogs.BatchCreateItems(request, metadata=EDITOR)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD requests[0].parent"


async def test_batch_get_answers_in_the_order_of_the_names(mesh: Mesh, parent: str) -> None:
    for item in ("a", "b", "c"):
        await mesh.create(parent, item)
    names = [f"{parent}/items/{item}" for item in ("c", "a")]
    request = BatchGetItemsRequest(parent=parent, names=names)
    answer = await mesh.catalogs.BatchGetItems(request, metadata=ANN)
    assert [item.name for item in answer.items] == names


async def test_batch_get_of_a_missing_item(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "a")
    names = [f"{parent}/items/{item}" for item in ("a", "none")]
    request = BatchGetItemsRequest(parent=parent, names=names)
    call = mesh.catalogs.BatchGetItems(request, metadata=ANN)
    assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND"
    request.allow_missing = True
    answer = await mesh.catalogs.BatchGetItems(request, metadata=ANN)
    assert [item.name for item in answer.items] == names[:1]


async def test_batch_get_from_another_catalog(mesh: Mesh, parent: str) -> None:
    names = [f"{parent}/items/a", "catalogs/other/items/a"]
    request = BatchGetItemsRequest(parent=parent, names=names)
    call = mesh.catalogs.BatchGetItems(request, metadata=ANN)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD names[1]"


async def test_deleted_item_is_gone(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    await mesh.catalogs.DeleteItem(DeleteItemRequest(name=item.name), metadata=EDITOR)
    assert await failure(mesh.get(item.name)) == "NOT_FOUND RESOURCE_NOT_FOUND"
    assert await mesh.item_ids(parent) == []
    catalog = await mesh.catalogs.GetCatalog(GetCatalogRequest(name=parent), metadata=ADMIN)
    assert (catalog.item_count, catalog.revision) == (0, 2)


async def test_deleted_item_leaves_no_content_behind(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien", description="personal")
    await mesh.catalogs.DeleteItem(DeleteItemRequest(name=item.name), metadata=EDITOR)
    query = "SELECT title, description, revision FROM items WHERE catalog = :catalog"
    assert await mesh.sql(query, catalog=parent[9:]) == [("", "", 2)]


async def test_item_that_comes_again_is_a_new_one(mesh: Mesh, parent: str) -> None:
    first = await mesh.create(parent, "alien")
    await mesh.catalogs.DeleteItem(DeleteItemRequest(name=first.name), metadata=EDITOR)
    again = await mesh.create(parent, "alien")
    assert again.revision == 3
    assert again.create_time.ToNanoseconds() > first.create_time.ToNanoseconds()


async def test_delete_of_a_missing_item(mesh: Mesh, parent: str) -> None:
    request = DeleteItemRequest(name=f"{parent}/items/none")
    call = mesh.catalogs.DeleteItem(request, metadata=EDITOR)
    assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND"
    request.allow_missing = True
    await mesh.catalogs.DeleteItem(request, metadata=EDITOR)


async def test_delete_of_an_item_that_has_changed(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "alien")
    changed = await mesh.update(Item(name=item.name, title="Aliens"))
    request = DeleteItemRequest(name=item.name, etag=item.etag)
    call = mesh.catalogs.DeleteItem(request, metadata=EDITOR)
    assert await failure(call) == "ABORTED ETAG_MISMATCH"
    request.etag = changed.etag
    await mesh.catalogs.DeleteItem(request, metadata=EDITOR)
