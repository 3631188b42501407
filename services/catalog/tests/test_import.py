import asyncio
from collections.abc import AsyncIterator

import pytest

from recmesh.catalog.v1.catalog_service_pb2 import (
    DeleteItemRequest,
    GetCatalogRequest,
    ImportItemsRequest,
    ImportItemsResponse,
)
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1.catalog_events_pb2 import ItemsChanged
from services.catalog.tests.conftest import ADMIN, EDITOR, Mesh, failure

MANY = 2500
IN_A_MESSAGE = 250


def items(parent: str, *ids: str, **content: object) -> list[Item]:
    content = {"title": "A title", **content}
    return [Item(name=f"{parent}/items/{id_}", **content) for id_ in ids]  # type: ignore[arg-type]


def counts(answer: ImportItemsResponse) -> tuple[int, int, int, int]:
    return (
        answer.created_count,
        answer.updated_count,
        answer.unchanged_count,
        answer.failed_count,
    )


async def test_good_rows_go_in_and_bad_ones_are_reported_with_their_positions(
    mesh: Mesh, parent: str
) -> None:
    first = [
        *items(parent, "a"),
        *items(parent, "b", title=""),
        Item(title="No name"),
        *items("catalogs/other", "c"),
    ]
    second = [*items(parent, "d"), *items(parent, "e", release_year=12), *items(parent, "f")]
    answer = await mesh.import_items(parent, first, second)
    assert counts(answer) == (3, 0, 0, 4)
    assert [(error.row, error.field) for error in answer.errors] == [
        *((1, "title"), (2, "name"), (3, "name"), (5, "release_year")),
    ]
    assert answer.errors[0].resource == f"{parent}/items/b"
    assert await mesh.item_ids(parent) == ["a", "d", "f"]


async def test_second_run_changes_nothing(mesh: Mesh, parent: str) -> None:
    rows = items(parent, "a", "b", average_rating=7.1, labels={"x": "y", "z": ""}, tags=["t"])
    await mesh.import_items(parent, rows)
    before = [await mesh.get(row.name) for row in rows]
    await mesh.events(parent)
    assert counts(await mesh.import_items(parent, rows)) == (0, 0, 2, 0)
    assert [await mesh.get(row.name) for row in rows] == before
    assert await mesh.events(parent) == []


async def test_known_item_is_replaced(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "alien", release_year=1979)
    answer = await mesh.import_items(parent, items(parent, "alien", title="Alien"))
    assert counts(answer) == (0, 1, 0, 0)
    assert (await mesh.get(f"{parent}/items/alien")).release_year == 0


async def test_only_what_changes_gets_a_revision(mesh: Mesh, parent: str) -> None:
    await mesh.import_items(parent, items(parent, "a", "b", "c"))
    rows = [*items(parent, "a"), *items(parent, "c", "b", title="New")]
    answer = await mesh.import_items(parent, rows)
    assert counts(answer) == (0, 2, 1, 0)
    found = [(await mesh.get(f"{parent}/items/{id_}")).revision for id_ in "abc"]
    assert found == [1, 5, 4]
    catalog = await mesh.catalogs.GetCatalog(GetCatalogRequest(name=parent), metadata=ADMIN)
    assert catalog.revision == 5


async def test_deleted_item_is_created_again(mesh: Mesh, parent: str) -> None:
    rows = items(parent, "a")
    await mesh.import_items(parent, rows)
    await mesh.catalogs.DeleteItem(DeleteItemRequest(name=rows[0].name), metadata=EDITOR)
    assert counts(await mesh.import_items(parent, rows)) == (1, 0, 0, 0)


async def test_last_of_rows_with_one_id_counts(mesh: Mesh, parent: str) -> None:
    rows = [*items(parent, "a", title="First"), *items(parent, "b"), *items(parent, "a")]
    answer = await mesh.import_items(parent, rows)
    assert counts(answer) == (2, 0, 0, 1)
    assert [(error.row, error.field) for error in answer.errors] == [(0, "name")]
    assert (await mesh.get(f"{parent}/items/a")).title == "A title"


async def test_bad_row_takes_no_good_ones_place(mesh: Mesh, parent: str) -> None:
    rows = [*items(parent, "a"), *items(parent, "a", release_year=1)]
    answer = await mesh.import_items(parent, rows)
    assert counts(answer) == (1, 0, 0, 1)
    assert [(error.row, error.field) for error in answer.errors] == [(1, "release_year")]


async def test_errors_beyond_the_first_thousand_are_counted(mesh: Mesh, parent: str) -> None:
    group = [Item(title="No name")] * 600
    answer = await mesh.import_items(parent, group, group)
    assert (answer.failed_count, len(answer.errors), answer.errors[-1].row) == (1200, 1000, 999)


async def test_errors_repeat_no_long_text(mesh: Mesh, parent: str) -> None:
    answer = await mesh.import_items(parent, [Item(name="x" * 100_000, title="Long")])
    assert answer.failed_count == 1
    assert answer.ByteSize() < 2000


async def test_later_messages_may_repeat_the_parent(mesh: Mesh, parent: str) -> None:
    async def requests() -> AsyncIterator[ImportItemsRequest]:
        for item in ("a", "b"):
            yield ImportItemsRequest(parent=parent, items=items(parent, item))

    answer = await mesh.catalogs.ImportItems(requests(), metadata=EDITOR)
    assert counts(answer) == (2, 0, 0, 0)


async def test_later_message_with_another_parent(mesh: Mesh, parent: str) -> None:
    other = await mesh.catalog()

    async def requests() -> AsyncIterator[ImportItemsRequest]:
        yield ImportItemsRequest(parent=parent, items=items(parent, "a"))
        yield ImportItemsRequest(parent=other, items=items(other, "b"))

    call = mesh.catalogs.ImportItems(requests(), metadata=EDITOR)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD parent"
    assert await mesh.item_ids(parent) == ["a"]
    assert await mesh.item_ids(other) == []


async def test_first_message_without_a_parent(mesh: Mesh, parent: str) -> None:
    call = mesh.import_items("", items(parent, "a"))
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD parent"


async def test_stream_without_a_message(mesh: Mesh, parent: str) -> None:
    call = mesh.import_items(parent)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD parent"


async def test_unknown_catalog_is_told_though_no_row_is_good(mesh: Mesh) -> None:
    call = mesh.import_items("catalogs/none", [])
    assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND"


async def test_message_with_too_many_rows(mesh: Mesh, parent: str) -> None:
    call = mesh.import_items(parent, items(parent, *map(str, range(1001))))
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD items"


async def test_call_that_breaks_off_keeps_what_came_before(mesh: Mesh, parent: str) -> None:
    async def requests() -> AsyncIterator[ImportItemsRequest]:
        yield ImportItemsRequest(parent=parent, items=items(parent, "a", "b"))
        async with asyncio.timeout(60):
            while await mesh.item_ids(parent) != ["a", "b"]:
                pass
        call.cancel()
        yield ImportItemsRequest(items=items(parent, "c"))

    call = mesh.catalogs.ImportItems(requests(), metadata=EDITOR)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await mesh.item_ids(parent) == ["a", "b"]


async def test_thousands_of_rows(mesh: Mesh, parent: str) -> None:
    rows = [
        Item(
            name=f"{parent}/items/film-{n:05}",
            title=f"Film number {n}",
            alternate_titles=[f"Фильм {n}"],
            description="A long story about people who want something and what becomes of it. " * 6,
            genres=["Drama", "Comedy"],
            release_year=1920 + n % 100,
            directors=[f"Director {n % 500}"],
            cast=[f"Actor {n % 900}", f"Actor {n % 700}"],
            language="en",
        )
        for n in range(MANY)
    ]
    groups = [rows[n : n + IN_A_MESSAGE] for n in range(0, MANY, IN_A_MESSAGE)]
    assert counts(await mesh.import_items(parent, *groups)) == (MANY, 0, 0, 0)
    assert counts(await mesh.import_items(parent, *groups)) == (0, 0, MANY, 0)
    events = await mesh.events(parent)
    changes = [c for event in events if isinstance(event, ItemsChanged) for c in event.changes]
    assert [change.revision for change in changes] == list(range(1, MANY + 1))


async def test_large_import_is_known_to_the_planner_before_it_ends(mesh: Mesh, parent: str) -> None:
    """A catalog that it takes for empty is read as a whole for each message."""
    planner = (
        "SELECT 1 FROM pg_stats WHERE tablename = 'items' AND attname = 'catalog' "
        "AND :catalog = ANY(most_common_vals::text::text[])"
    )
    catalog = parent.partition("/")[2]

    async def requests() -> AsyncIterator[ImportItemsRequest]:
        yield ImportItemsRequest(parent=parent, items=items(parent, *map(str, range(1000))))
        async with asyncio.timeout(120):
            while not await mesh.sql(planner, catalog=catalog):
                pass
        yield ImportItemsRequest(items=items(parent, "last"))

    answer = await mesh.catalogs.ImportItems(requests(), metadata=EDITOR)
    assert answer.created_count == 1001
