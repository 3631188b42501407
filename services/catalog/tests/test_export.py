import grpc
import pytest

from recmesh.catalog.v1.catalog_service_pb2 import (
    DeleteItemRequest,
    ExportItemsRequest,
    ExportItemsResponse,
)
from recmesh.catalog.v1.item_pb2 import Item
from services.catalog.tests.conftest import ANN, EDITOR, Mesh, Metadata

MANY = 450


async def export(
    mesh: Mesh, parent: str, after: int = 0, metadata: Metadata = EDITOR
) -> list[ExportItemsResponse]:
    request = ExportItemsRequest(parent=parent, after_revision=after)
    return [answer async for answer in mesh.catalogs.ExportItems(request, metadata=metadata)]


def items(answers: list[ExportItemsResponse]) -> list[Item]:
    return [item for answer in answers for item in answer.items]


async def refused(mesh: Mesh, parent: str, metadata: Metadata = EDITOR) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(mesh, parent, metadata=metadata)
    return caught.value.code()


async def test_everything_in_the_order_of_revisions(mesh: Mesh, parent: str) -> None:
    made = [await mesh.create(parent, item, hidden=item == "b") for item in ("c", "b", "a")]
    changed = await mesh.update(Item(name=made[0].name, title="New"), "title")
    (answer,) = await export(mesh, parent)
    assert list(answer.items) == [made[1], made[2], changed]
    assert (answer.revision, list(answer.deleted_names)) == (4, [])


async def test_what_was_deleted_is_named(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "a")
    await mesh.catalogs.DeleteItem(DeleteItemRequest(name=item.name), metadata=EDITOR)
    (answer,) = await export(mesh, parent)
    assert (list(answer.items), list(answer.deleted_names)) == ([], [item.name])
    assert answer.revision == 2


async def test_goes_on_after_a_revision(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "a")
    new = await mesh.create(parent, "b")
    (answer,) = await export(mesh, parent, 1)
    assert list(answer.items) == [new]


async def test_nothing_new_still_says_how_far_it_goes(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "a")
    (answer,) = await export(mesh, parent, 1)
    assert (answer.revision, len(answer.items), len(answer.deleted_names)) == (1, 0, 0)


async def test_each_message_says_how_far_it_goes(mesh: Mesh, parent: str) -> None:
    await mesh.import_items(
        parent, [Item(name=f"{parent}/items/{n}", title="x") for n in range(MANY)]
    )
    answers = await export(mesh, parent)
    assert len(answers) > 1
    for answer in answers:
        assert answer.revision == answer.items[-1].revision
    broken_off = answers[0].revision
    rest = await export(mesh, parent, broken_off)
    revisions = [item.revision for item in [*answers[0].items, *items(rest)]]
    assert revisions == list(range(1, MANY + 1))


async def test_large_items_come_in_messages_that_a_client_takes(mesh: Mesh, parent: str) -> None:
    rows = [
        Item(name=f"{parent}/items/{n}", title="x", description="日" * 20_000) for n in range(100)
    ]
    await mesh.import_items(parent, rows[:50], rows[50:])
    answers = await export(mesh, parent)
    assert len(items(answers)) == 100
    assert max(answer.ByteSize() for answer in answers) < 2_000_000


async def test_what_changes_meanwhile_is_not_missed(mesh: Mesh, parent: str) -> None:
    await mesh.import_items(
        parent, [Item(name=f"{parent}/items/{n}", title="x") for n in range(MANY)]
    )
    seen: dict[str, Item] = {}
    request = ExportItemsRequest(parent=parent)
    reached = 0
    async for answer in mesh.catalogs.ExportItems(request, metadata=EDITOR):
        if not seen:
            await mesh.update(Item(name=f"{parent}/items/0", title="New"), "title")
        seen |= {item.name: item for item in answer.items}
        reached = answer.revision
    seen |= {item.name: item for item in items(await export(mesh, parent, reached))}
    assert len(seen) == MANY
    assert seen[f"{parent}/items/0"].title == "New"


async def test_unknown_catalog(mesh: Mesh) -> None:
    assert await refused(mesh, "catalogs/none") is grpc.StatusCode.NOT_FOUND


async def test_users_export_nothing(mesh: Mesh, parent: str) -> None:
    assert await refused(mesh, parent, ANN) is grpc.StatusCode.PERMISSION_DENIED
