# ruff: noqa: N802 - the methods have the names of the contract
import datetime as dt
from collections.abc import AsyncIterator

import grpc
import pytest

from recmesh.auth.v1.auth_service_pb2 import TokenPair
from recmesh.catalog.v1 import catalog_pb2
from recmesh.catalog.v1 import catalog_service_pb2 as pb
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_jobs.messages import timestamp
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.channel import ServiceCredentials, connect
from recmesh_kit.errors import NotFound, Unavailable
from recmesh_kit.health import Health
from recmesh_kit.principal import Principal
from recmesh_kit.server import Service, shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.testing import SERVICE, signer, verifier
from recmesh_worker.catalog_items import CatalogItems

CATALOG = pb.DESCRIPTOR.services_by_name["CatalogService"]
LARGEST = 4096
CREATED = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


class Catalog:
    """Stands in for the catalog service: it has every item but "missing", each of a kilobyte."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.gone = False

    async def BatchGetItems(
        self, request: pb.BatchGetItemsRequest, context: RpcContext
    ) -> pb.BatchGetItemsResponse:
        self.asked.append(len(request.names))
        if self.gone:
            raise NotFound(request.parent)
        there = [name for name in request.names if not name.endswith("/missing")]
        return pb.BatchGetItemsResponse(
            items=[Item(name=name, description="x" * 1000) for name in there]
        )

    async def GetCatalog(
        self, request: pb.GetCatalogRequest, context: RpcContext
    ) -> catalog_pb2.Catalog:
        if self.gone:
            raise NotFound(request.name)
        return catalog_pb2.Catalog(name=request.name, create_time=timestamp(CREATED))


@pytest.fixture
def catalog_service() -> Catalog:
    return Catalog()


@pytest.fixture
def token() -> str:
    return signer.sign(Principal("worker", SERVICE, {}), 600)


@pytest.fixture
async def items(catalog_service: Catalog, token: str) -> AsyncIterator[CatalogItems]:
    settings = ServiceSettings(listen="127.0.0.1:0", drain_seconds=1, max_message_bytes=LARGEST)
    health = Health(())
    service = Service(CATALOG, catalog_service)
    server, port = await start(settings, [service], verifier=verifier, health=health)

    async def sign_in() -> TokenPair:
        return TokenPair(access_token=token, expires_in=600)

    async with connect(
        f"127.0.0.1:{port}",
        [CATALOG],
        timeout_seconds=60,
        credentials=ServiceCredentials(sign_in),
    ) as channel:
        yield CatalogItems(channel)
    await shut_down(server, settings, health)


async def names(items: CatalogItems, *ids: str) -> list[str] | None:
    found = await items.items("films", ids)
    return None if found is None else [item.name.rpartition("/")[2] for item in found]


async def test_what_is_there_is_answered(items: CatalogItems) -> None:
    assert await names(items, "a", "missing", "b") == ["a", "b"]


async def test_a_catalog_that_is_not_there_is_told_from_items_that_are_not(
    items: CatalogItems, catalog_service: Catalog
) -> None:
    assert await names(items, "missing") == []
    catalog_service.gone = True
    assert await names(items, "a") is None


async def test_what_is_too_large_for_one_message_is_read_in_parts(
    items: CatalogItems, catalog_service: Catalog
) -> None:
    ids = [f"i{n}" for n in range(10)]
    assert await names(items, *ids) == ids
    assert max(catalog_service.asked) == 10


async def test_an_id_that_is_none_is_its_own_fault(items: CatalogItems) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await names(items, "x" * 200)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_catalog_says_when_it_was_made_and_one_that_is_gone_says_nothing(
    items: CatalogItems, catalog_service: Catalog
) -> None:
    assert await items.create_time("films") == CREATED
    catalog_service.gone = True
    assert await items.create_time("films") is None


@pytest.mark.parametrize("token", ["forged"])
async def test_not_being_let_in_is_no_items_fault(items: CatalogItems) -> None:
    with pytest.raises(Unavailable):
        await names(items, "a")
    with pytest.raises(Unavailable):
        await items.create_time("films")
