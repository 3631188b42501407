"""The catalog read as a whole, over a channel as the recommender has one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from libs.kit.tests.calls import listening
from recmesh.catalog.v1 import catalog_service_pb2 as items_pb
from recmesh.catalog.v1 import interaction_service_pb2 as interactions_pb
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2_grpc import InteractionServiceServicer
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit.channel import ServiceCredentials, connect
from recmesh_kit.errors import Exhausted, NotFound, RecmeshError, Unavailable
from recmesh_kit.principal import Principal
from recmesh_kit.server import Service
from recmesh_kit.testing import SERVICE, signer
from recmesh_recommender.verify.catalog_source import ExportSource
from recmesh_recommender.verify.findings import CatalogItem
from services.recommender.tests.conftest import until

CATALOGS = items_pb.DESCRIPTOR.services_by_name["CatalogService"]
INTERACTIONS = interactions_pb.DESCRIPTOR.services_by_name["InteractionService"]
AWAY, NOWHERE = Unavailable("no"), NotFound("catalogs/films")


def item(name: str, revision: int) -> Item:
    made = Item(name=f"catalogs/films/items/{name}", revision=revision)
    made.update_time.FromSeconds(revision * 1000)
    return made


def page(revision: int, *items: Item) -> items_pb.ExportItemsResponse:
    return items_pb.ExportItemsResponse(items=items, revision=revision)


class Catalogs(CatalogServiceServicer):
    """Each opening of the export answers the next script: pages, and an error where it breaks."""

    def __init__(self, *scripts: Sequence[items_pb.ExportItemsResponse | RecmeshError]) -> None:
        self.scripts = list(scripts)
        self.after: list[int] = []
        self.sizes: list[int] = []
        self.most = 1000

    async def ExportItems(  # noqa: N802
        self, request: items_pb.ExportItemsRequest, context: object
    ) -> AsyncIterator[items_pb.ExportItemsResponse]:
        self.after.append(request.after_revision)
        for step in self.scripts.pop(0):
            if isinstance(step, RecmeshError):
                raise step
            yield step

    async def BatchGetItems(  # noqa: N802
        self, request: items_pb.BatchGetItemsRequest, context: object
    ) -> items_pb.BatchGetItemsResponse:
        self.sizes.append(len(request.names))
        if len(request.names) > self.most:
            raise Exhausted("The answer is too large.")
        there = [Item(name=name, revision=5) for name in request.names if "gone" not in name]
        return items_pb.BatchGetItemsResponse(items=there)


class Interactions(InteractionServiceServicer):
    """Breaks after its first message."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def ExportInteractions(  # noqa: N802
        self, request: interactions_pb.ExportInteractionsRequest, context: object
    ) -> AsyncIterator[interactions_pb.ExportInteractionsResponse]:
        self.tokens.append(request.resume_token)
        if request.resume_token:
            yield interactions_pb.ExportInteractionsResponse(resume_token="t-2")
            return
        told = Interaction(
            name="catalogs/films/interactions/i-1",
            user="ann",
            item="catalogs/films/items/alien",
            type=Interaction.TYPE_RATING,
            value=4.5,
        )
        told.event_time.FromMilliseconds(1500)
        told.create_time.FromSeconds(2000)
        yield interactions_pb.ExportInteractionsResponse(interactions=[told], resume_token="t-1")
        raise AWAY


@dataclass
class Pair:
    access_token: str
    expires_in: int = 600


async def sign_in() -> Pair:
    return Pair(signer.sign(Principal("recommender", SERVICE, {}), 600))


@asynccontextmanager
async def reading(
    catalogs: Catalogs, interactions: InteractionServiceServicer | None = None
) -> AsyncIterator[ExportSource]:
    """The source over a real connection, signed in as a service."""
    services = (
        Service(CATALOGS, catalogs),
        Service(INTERACTIONS, interactions or Interactions()),
    )
    async with (
        listening(*services) as address,
        connect(
            address,
            [CATALOGS, INTERACTIONS],
            timeout_seconds=60,
            credentials=ServiceCredentials(sign_in),
        ) as channel,
    ):
        yield ExportSource(channel)


async def test_a_broken_stream_of_items_goes_on_where_it_was() -> None:
    catalogs = Catalogs([page(3, item("a", 3)), AWAY], [page(7, item("b", 7)), page(9)])
    async with reading(catalogs) as source:
        pages = [page async for page in source.all_items("films")]
    assert catalogs.after == [0, 3]
    assert [page.revision for page in pages] == [3, 7, 9]
    assert pages[0].items == [CatalogItem("a", 3, 3000.0)]


async def test_a_service_that_brings_nothing_is_away() -> None:
    # A stream that breaks before it begins is tried again by the channel, a few times.
    catalogs = Catalogs([page(3), AWAY], *[[AWAY]] * 9)
    async with reading(catalogs) as source:
        with pytest.raises(Unavailable):
            _ = [page async for page in source.all_items("films")]


async def test_an_unknown_catalog_is_not_found() -> None:
    async with reading(Catalogs([NOWHERE])) as source:
        with pytest.raises(NotFound, match="catalogs/films"):
            _ = [page async for page in source.all_items("films")]


async def test_a_reader_that_goes_away_leaves_no_stream_open() -> None:
    ended = []

    class Endless(Catalogs):
        async def ExportItems(  # noqa: N802
            self, request: items_pb.ExportItemsRequest, context: object
        ) -> AsyncIterator[items_pb.ExportItemsResponse]:
            try:
                while True:
                    yield page(1, item("a", 1))
            finally:
                ended.append(True)

    async with reading(Endless()) as source:
        pages = source.all_items("films")
        await anext(pages)
        await pages.aclose()
        # While the server goes on: at its end it would cut the stream off.
        await until(lambda: ended)


async def test_interactions_are_told_in_the_words_of_the_read_model() -> None:
    interactions = Interactions()
    async with reading(Catalogs(), interactions) as source:
        first, last = [deeds async for deeds in source.all_interactions("films")]
    assert interactions.tokens == ["", "t-1"]
    (deed,) = first
    assert (deed.id, deed.happened.person, last) == ("i-1", "ann", [])
    assert deed.happened.event == ("alien", Interaction.TYPE_RATING, 4.5, 1.5)
    assert deed.happened.write_time.timestamp() == 2000
    assert Interaction.FromString(deed.body).name == "catalogs/films/interactions/i-1"


async def test_items_that_are_too_much_for_one_answer_are_asked_for_in_parts() -> None:
    catalogs = Catalogs()
    catalogs.most = 2
    async with reading(catalogs) as source:
        found = await source.items("films", ["a", "gone", "b", "c", "d"])
        assert await source.items("films", []) == {}
    assert sorted(found) == ["a", "b", "c", "d"]
