import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import structlog

from recmesh.catalog.v1 import catalog_service_pb2
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import GetCatalogRequest
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer
from recmesh_kit import context
from recmesh_kit.channel import ServiceCredentials, connect
from recmesh_kit.database import Database
from recmesh_kit.errors import NotFound, PermissionDenied, Unavailable
from recmesh_kit.health import Health
from recmesh_kit.principal import Principal
from recmesh_kit.server import Service, shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.telemetry import place
from recmesh_kit.telemetry.place import Place
from recmesh_kit.testing import ADMIN, SERVICE, USER, signer, verifier
from recmesh_recommender import catalogs
from recmesh_recommender.catalog_client import CatalogClient
from recmesh_recommender.catalogs import Catalogs
from services.recommender.tests.conftest import failure, replica_of, state, until

ANN = Principal("ann", USER)
AWAY = "The catalog service is away."


class Source:
    """A catalog service that can be held up and go away."""

    def __init__(self) -> None:
        self.answers: dict[str, bool] = {"films": True, "secret": False}
        self.away = False
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.seen: list[tuple[object, object]] = []
        self.places: list[Place | None] = []

    async def fetch(self, catalog: str) -> bool | None:
        self.asked.append(catalog)
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        self.seen.append((context.remaining(), request_id))
        self.places.append(place.current_place())
        await self.open.wait()
        if self.away:
            raise Unavailable(AWAY)
        return self.answers.get(catalog)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is believed for as long as a test takes."""
    monkeypatch.setattr(catalogs, "FRESH_SECONDS", 3600.0)


@pytest.fixture
def source() -> Source:
    return Source()


async def test_one_question_serves_many_calls(source: Source) -> None:
    known = Catalogs(source.fetch)
    source.open.clear()
    calls = [asyncio.ensure_future(known.check_readable("films", ANN)) for _ in range(10)]
    await until(lambda: source.asked)
    source.open.set()
    await asyncio.gather(*calls)
    await known.check_readable("films", ANN)
    assert source.asked == ["films"]


async def test_the_question_is_part_of_the_trace_of_who_asked_first(source: Source) -> None:
    known = Catalogs(source.fetch)
    first, second = (Place(f"{number:032x}", f"{number:016x}", 1) for number in (1, 2))
    source.open.clear()

    async def ask(here: Place) -> None:
        place.enter(here)
        await known.check_readable("films", ANN)

    calls = [asyncio.create_task(ask(here)) for here in (first, second)]
    await until(lambda: source.asked)
    source.open.set()
    await asyncio.gather(*calls)
    assert source.places == [first]


async def test_who_asked_first_may_go_away(source: Source) -> None:
    known = Catalogs(source.fetch)
    source.open.clear()
    first = asyncio.ensure_future(known.check_readable("films", ANN))
    await until(lambda: source.asked)
    second = asyncio.ensure_future(known.check_readable("films", ANN))
    first.cancel()
    await asyncio.wait([first])
    source.open.set()
    await second
    assert source.asked == ["films"]


async def test_the_question_is_nobodys_call(source: Source) -> None:
    """Else the first caller's deadline would be everybody's."""
    known = Catalogs(source.fetch)

    async def call() -> None:
        context.begin(context.Call("/x", "traced", time.monotonic() + 0.01))
        structlog.contextvars.bind_contextvars(request_id="traced")
        await known.check_readable("films", ANN)

    await asyncio.create_task(call())
    assert source.seen == [(None, None)]


async def test_a_catalog_may_be_made_at_any_time(source: Source) -> None:
    known = Catalogs(source.fetch)
    with pytest.raises(NotFound):
        await known.check_readable("new", ANN)
    source.answers["new"] = True
    await known.check_readable("new", ANN)


async def test_a_change_counts_after_a_while(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Catalogs(source.fetch)
    await known.check_readable("films", ANN)
    source.answers["films"] = False
    await known.check_readable("films", ANN)
    monkeypatch.setattr(catalogs, "FRESH_SECONDS", 0.0)
    known = Catalogs(source.fetch)
    source.answers["films"] = True
    await known.check_readable("films", ANN)
    source.answers["films"] = False
    with pytest.raises(NotFound):
        await known.check_readable("films", ANN)
    del source.answers["films"]
    with pytest.raises(NotFound):
        await known.check_readable("films", Principal("root", ADMIN))


async def test_what_is_known_serves_while_the_service_is_away(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "FRESH_SECONDS", 0.0)
    known = Catalogs(source.fetch)
    await known.check_readable("films", ANN)
    source.away = True
    await known.check_readable("films", ANN)
    with pytest.raises(Unavailable, match=AWAY):
        await known.check_readable("secret", ANN)
    monkeypatch.setattr(catalogs, "STALE_SECONDS", 0.0)
    with pytest.raises(Unavailable, match=AWAY):
        await known.check_readable("films", ANN)


async def test_what_is_known_serves_while_the_service_is_slow(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "FRESH_SECONDS", 0.0)
    known = Catalogs(source.fetch)
    await known.check_readable("films", ANN)
    monkeypatch.setattr(catalogs, "FRESH_SECONDS", 3600.0)
    source.open.clear()
    await known.check_readable("films", ANN)
    # The first pays for its patience, and the others do not.
    monkeypatch.setattr(catalogs, "PATIENCE_SECONDS", 3600.0)
    async with asyncio.timeout(60):
        await asyncio.gather(*(known.check_readable("films", ANN) for _ in range(10)))
    assert source.asked == ["films", "films"]
    await known.aclose()
    assert not known._asking


async def test_the_end_waits_for_no_answer(source: Source) -> None:
    known = Catalogs(source.fetch)
    source.open.clear()
    call = asyncio.ensure_future(known.check_readable("films", ANN))
    await until(lambda: source.asked)
    await known.aclose()
    assert not known._asking
    with pytest.raises(asyncio.CancelledError):
        await call


class CatalogService(CatalogServiceServicer):
    """The contract's service, over the same answers."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def GetCatalog(  # noqa: N802
        self, request: GetCatalogRequest, context: object
    ) -> Catalog:
        public = await self._source.fetch(request.name.partition("/")[2])
        if request.name == "catalogs/closed":
            raise PermissionDenied("Not for you.")
        if public is None:
            raise NotFound(request.name)
        kind = Catalog.VISIBILITY_PUBLIC if public else Catalog.VISIBILITY_PRIVATE
        return Catalog(name=request.name, visibility=kind)


@dataclass
class Pair:
    """What a sign-in answers."""

    access_token: str
    expires_in: int = 600


async def sign_in() -> Pair:
    return Pair(signer.sign(Principal("recommender", SERVICE), 600))


@pytest.fixture
async def client(source: Source) -> AsyncIterator[CatalogClient]:
    """To a catalog service, as `__main__` makes it."""
    descriptor = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"]
    settings = ServiceSettings.model_validate({"listen": "127.0.0.1:0", "drain_seconds": 1})
    services, health = [Service(descriptor, CatalogService(source))], Health(())
    server, port = await start(settings, services, verifier=verifier, health=health)
    credentials = ServiceCredentials(sign_in)
    channel = connect(
        f"127.0.0.1:{port}", [descriptor], timeout_seconds=60, credentials=credentials
    )
    async with channel:
        yield CatalogClient(channel)
    await shut_down(server, settings, health)


async def test_the_catalog_service_is_asked(source: Source, client: CatalogClient) -> None:
    assert await client.is_public("films") is True
    assert await client.is_public("secret") is False
    assert await client.is_public("none") is None


async def test_a_catalog_service_that_refuses_or_is_away_is_said_to_be(
    source: Source, client: CatalogClient
) -> None:
    with pytest.raises(Unavailable) as refused:
        await client.is_public("closed")
    source.away = True
    with pytest.raises(Unavailable) as away:
        await client.is_public("films")
    for told in (refused, away):
        assert told.value.metadata == {"dependency": "catalog"}


async def test_calls_are_turned_away_when_nothing_is_known_of_their_catalog(
    database: Database, amqp_url: str, source: Source
) -> None:
    source.away = True
    async with replica_of(database, amqp_url, source.fetch) as replica:
        assert await failure(replica.create()) == "UNAVAILABLE DEPENDENCY_UNAVAILABLE"
        source.away = False
        assert state(await replica.create()) == "QUEUED"
        source.away = True
        assert state(await replica.create()) == "QUEUED"


async def test_a_callers_own_deadline_holds_while_the_catalog_is_slow(
    database: Database, amqp_url: str, source: Source
) -> None:
    source.open.clear()
    async with replica_of(database, amqp_url, source.fetch) as replica:
        call = replica.recommend(timeout=0.3)
        assert (await failure(call)).startswith("DEADLINE_EXCEEDED")
        waiting = asyncio.ensure_future(replica.create())
        source.open.set()
        assert state(await waiting) == "QUEUED"
    assert source.asked == ["films"]
