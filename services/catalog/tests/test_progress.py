import asyncio
from collections.abc import AsyncIterator

import pytest

from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    CreateCatalogRequest,
    DeleteCatalogRequest,
    GetCatalogRequest,
    ListCatalogsRequest,
)
from recmesh.events.v1.job_events_pb2 import IndexAdvanced
from recmesh_catalog.catalogs.progress import VERSION, Progress
from recmesh_catalog.catalogs.repository import CatalogRepository
from recmesh_kit import layout
from recmesh_kit.broker import Broker
from recmesh_kit.proxy import Proxy
from services.catalog.tests.conftest import ADMIN, ANN, EDITOR, Mesh, Metadata

ITEMS = ("a", "b", "c", "d")
SECONDS = 60


@pytest.fixture
async def parent(mesh: Mesh) -> str:
    """The name of a catalog with four items."""
    name = await mesh.catalog()
    for item in ITEMS:
        await mesh.create(name, item)
    return name


@pytest.fixture
async def broker(amqp_url: str, mesh: Mesh) -> AsyncIterator[Broker]:
    """One at which what is told is noted."""
    async with broker_at(amqp_url) as broker:
        await listen(broker, mesh)
        yield broker


def broker_at(url: str) -> Broker:
    return Broker(url, name="test", timeout_seconds=60)


async def listen(broker: Broker, mesh: Mesh) -> None:
    await broker.declare(layout.topology_of("catalog"))
    queue = layout.INDEX_PROGRESS.name
    await broker.consume(queue, Progress(mesh.database).handle, prefetch=10)


async def note(mesh: Mesh, parent: str, sequence: int, count: int) -> None:
    async with mesh.database.transaction() as session:
        await CatalogRepository(session).note_index(parent.partition("/")[2], sequence, count)


async def publish(broker: Broker, parent: str, body: bytes) -> None:
    key = layout.index_key(parent.partition("/")[2])
    await broker.publish(layout.RECOMMENDER_EVENTS.name, key, body)


async def tell(broker: Broker, parent: str, sequence: int, count: int, version: int = 1) -> None:
    message = IndexAdvanced(
        version=version,
        catalog=parent.partition("/")[2],
        sequence=sequence,
        searchable_item_count=count,
    )
    await publish(broker, parent, message.SerializeToString())


async def searchable(mesh: Mesh, parent: str, metadata: Metadata = EDITOR) -> int:
    catalog = await mesh.catalogs.GetCatalog(GetCatalogRequest(name=parent), metadata=metadata)
    return catalog.searchable_item_count


async def until(mesh: Mesh, parent: str, count: int) -> None:
    async with asyncio.timeout(SECONDS):
        while await searchable(mesh, parent) != count:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_nothing_is_searchable_before_it_is_told(mesh: Mesh, parent: str) -> None:
    assert await searchable(mesh, parent) == 0


async def test_what_is_told_is_answered(mesh: Mesh, broker: Broker, parent: str) -> None:
    await tell(broker, parent, 5, 3)
    await until(mesh, parent, 3)


async def test_list_does_not_say(mesh: Mesh, parent: str) -> None:
    await note(mesh, parent, 5, 3)
    answer = await mesh.catalogs.ListCatalogs(ListCatalogsRequest(page_size=1000), metadata=ADMIN)
    assert {catalog.searchable_item_count for catalog in answer.catalogs} == {0}


async def test_newest_counts_in_whatever_order_it_is_told(mesh: Mesh, parent: str) -> None:
    for sequence, count in ((5, 3), (4, 2), (6, 1), (5, 3)):
        await note(mesh, parent, sequence, count)
    assert await searchable(mesh, parent) == 1


async def test_newest_of_a_batch_counts(mesh: Mesh, broker: Broker, parent: str) -> None:
    for sequence, count in ((5, 3), (7, 2), (6, 1)):
        await tell(broker, parent, sequence, count)
    await until(mesh, parent, 2)
    # Once this is noted, so are those before it.
    other = await mesh.catalog()
    await mesh.create(other, "a")
    await tell(broker, other, 1, 1)
    await until(mesh, other, 1)
    assert await searchable(mesh, parent) == 2


async def test_message_that_is_not_understood_is_passed_over(
    mesh: Mesh, broker: Broker, parent: str
) -> None:
    await tell(broker, parent, 9, 4, version=VERSION + 1)
    await publish(broker, parent, b"\xff")
    await tell(broker, "catalogs/none", 9, 4)
    await tell(broker, parent, 5, 3)
    await until(mesh, parent, 3)


async def test_index_that_nobody_tells_of_any_more_gives_way(mesh: Mesh, parent: str) -> None:
    """As when another encoder takes over, whose index is not so far yet."""
    await note(mesh, parent, 100, 4)
    await mesh.sql(
        "UPDATE catalogs SET index_time = index_time - interval '10 minutes' WHERE id = :id",
        id=parent.partition("/")[2],
    )
    await note(mesh, parent, 7, 2)
    assert await searchable(mesh, parent) == 2


async def test_catalog_that_is_made_again_begins_with_nothing(mesh: Mesh, parent: str) -> None:
    await note(mesh, parent, 5, 3)
    request = DeleteCatalogRequest(name=parent, force=True)
    await mesh.catalogs.DeleteCatalog(request, metadata=ADMIN)
    await mesh.catalogs.CreateCatalog(
        CreateCatalogRequest(catalog_id=parent.partition("/")[2], catalog=Catalog()),
        metadata=ADMIN,
    )
    await mesh.create(parent, "a")
    assert await searchable(mesh, parent) == 0
    await note(mesh, parent, 9, 1)
    assert await searchable(mesh, parent) == 1


async def test_no_more_than_the_reader_can_see(mesh: Mesh, parent: str) -> None:
    item = await mesh.get(f"{parent}/items/a")
    item.hidden = True
    await mesh.update(item, "hidden")
    await note(mesh, parent, 5, 4)
    assert await searchable(mesh, parent) == 4
    assert await searchable(mesh, parent, ANN) == 3


async def test_broker_that_comes_late(mesh: Mesh, amqp_url: str, parent: str) -> None:
    async with Proxy.to(amqp_url) as proxy:
        await proxy.close()
        async with broker_at(proxy.url) as late, broker_at(amqp_url) as broker:
            await listen(late, mesh)
            await proxy.open()
            await broker.declare(layout.topology_of("catalog"))
            await tell(broker, parent, 5, 3)
            await until(mesh, parent, 3)
