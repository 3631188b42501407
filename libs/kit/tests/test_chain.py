from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import structlog
from structlog.testing import capture_logs

from libs.kit.tests.calls import (
    CATALOGS,
    FILMS,
    catalogs,
    chained,
    drain,
    failure,
    method,
    stub,
    until,
)
from recmesh.catalog.v1 import catalog_service_pb2 as pb
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit.chain.authorize import Metadata
from recmesh_kit.chain.chain import is_implemented
from recmesh_kit.context import Call, caller, current_call
from recmesh_kit.errors import NotFound
from recmesh_kit.server import Service
from recmesh_kit.testing import EDITOR, USER, bearer, fields_of, reason_of, running, status_of

EDITOR_CALL = bearer("eve", EDITOR)
USER_CALL = bearer("ann")
ANY_ROLE = 'roles: ROLE_USER resource: "name"'
KINDS = ["unary_unary", "stream_unary", "unary_stream", "stream_stream"]


async def get(request: pb.GetCatalogRequest, _: object) -> Catalog:
    return Catalog(name=request.name, display_name=caller().id)


async def import_items(
    requests: AsyncIterator[pb.ImportItemsRequest], _: object
) -> pb.ImportItemsResponse:
    caller()
    return pb.ImportItemsResponse(created_count=len([r async for r in requests]))


async def export_items(
    request: pb.ExportItemsRequest, _: object
) -> AsyncIterator[pb.ExportItemsResponse]:
    caller()
    for revision in (1, 2):
        yield pb.ExportItemsResponse(revision=request.after_revision + revision)


class Echo:
    """Every call kind of the chain: `Say`, stream to stream, and what it is told."""

    @staticmethod
    async def Say(  # noqa: N802
        requests: AsyncIterator[pb.GetCatalogRequest], _: object
    ) -> AsyncIterator[Catalog]:
        caller()
        async for request in requests:
            yield Catalog(name=request.name)


ECHO = method(ANY_ROLE, streams=True).services_by_name["Echo"]


def say(channel: grpc.aio.Channel, *requests: Any, metadata: Any = USER_CALL) -> Any:
    call = channel.stream_stream(
        f"/{ECHO.full_name}/Say",
        request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
        response_deserializer=Catalog.FromString,
    )
    return call(iter(requests), metadata=metadata)


ALL = [
    catalogs(GetCatalog=get, ImportItems=import_items, ExportItems=export_items),
    Service(ECHO, Echo()),
]


def call_of(channel: Any, kind: str, data: bytes, metadata: Any = EDITOR_CALL) -> Any:
    """A call of a kind with these very bytes, as something to await."""
    if kind == "unary_unary":
        return channel.unary_unary(f"/{CATALOGS.full_name}/GetCatalog")(data, metadata=metadata)
    if kind == "stream_unary":
        call = channel.stream_unary(f"/{CATALOGS.full_name}/ImportItems")
        return call(iter([data]), metadata=metadata)
    if kind == "unary_stream":
        call = channel.unary_stream(f"/{CATALOGS.full_name}/ExportItems")
        return drain(call(data, metadata=metadata))
    return drain(say(channel, data, metadata=metadata))


REQUESTS = {
    "unary_unary": FILMS,
    "stream_unary": pb.ImportItemsRequest(parent="catalogs/films"),
    "unary_stream": pb.ExportItemsRequest(parent="catalogs/films"),
    "stream_stream": FILMS,
}
BAD = {
    "unary_unary": pb.GetCatalogRequest(name="films"),
    "stream_unary": pb.ImportItemsRequest(parent="films"),
    "unary_stream": pb.ExportItemsRequest(parent="films"),
    "stream_stream": pb.GetCatalogRequest(name="films"),
}


async def test_unary_unary_answers() -> None:
    async with running(ALL) as channel:
        answer = await stub(channel).GetCatalog(FILMS, metadata=USER_CALL)
    assert answer == Catalog(name="catalogs/films", display_name="ann")


async def test_stream_unary_answers() -> None:
    requests = [pb.ImportItemsRequest(parent="catalogs/films"), pb.ImportItemsRequest()]
    async with running(ALL) as channel:
        answer = await stub(channel).ImportItems(iter(requests), metadata=EDITOR_CALL)
    assert answer.created_count == 2


async def test_unary_stream_answers() -> None:
    request = pb.ExportItemsRequest(parent="catalogs/films", after_revision=5)
    async with running(ALL) as channel:
        answers = await drain(stub(channel).ExportItems(request, metadata=EDITOR_CALL))
    assert [answer.revision for answer in answers] == [6, 7]


async def test_stream_stream_answers() -> None:
    async with running(ALL) as channel:
        answers = await drain(say(channel, FILMS, FILMS))
    assert [answer.name for answer in answers] == ["catalogs/films"] * 2


@pytest.mark.parametrize("kind", KINDS)
async def test_bytes_that_are_no_message(kind: str) -> None:
    async with running(ALL) as channel:
        error = await failure(call_of(channel, kind, b"\xff\xff\xff"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "MALFORMED_REQUEST"


async def test_text_that_is_not_utf_8_is_no_message() -> None:
    async with running(ALL) as channel:
        error = await failure(call_of(channel, "unary_unary", b"\x0a\x01\xff"))
    assert reason_of(error) == "MALFORMED_REQUEST"


@pytest.mark.parametrize("kind", KINDS)
async def test_no_token(kind: str) -> None:
    async with running(ALL) as channel:
        data = REQUESTS[kind].SerializeToString()
        error = await failure(call_of(channel, kind, data, ()))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(error) == "TOKEN_MISSING"


@pytest.mark.parametrize("kind", KINDS)
async def test_wrong_role(kind: str) -> None:
    async with running(ALL) as channel:
        data = REQUESTS[kind].SerializeToString()
        error = await failure(call_of(channel, kind, data, bearer("bot", frozenset())))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(error) == "ROLE_REQUIRED"


@pytest.mark.parametrize("kind", KINDS)
async def test_bad_field(kind: str) -> None:
    async with running(ALL) as channel:
        error = await failure(call_of(channel, kind, BAD[kind].SerializeToString()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "INVALID_FIELD"
    assert fields_of(error) in (["name"], ["parent"])


async def test_the_role_comes_before_the_fields() -> None:
    async with running(ALL) as channel:
        request = pb.ExportItemsRequest(parent="films")
        error = await failure(drain(stub(channel).ExportItems(request, metadata=USER_CALL)))
    assert reason_of(error) == "ROLE_REQUIRED"


async def test_a_grant_for_a_catalog_counts_in_it() -> None:
    only_films = bearer("eve", USER, {"films": EDITOR})
    async with running(ALL) as channel:
        request = pb.ExportItemsRequest(parent="catalogs/films")
        assert await drain(stub(channel).ExportItems(request, metadata=only_films))


async def test_a_grant_for_a_catalog_counts_nowhere_else() -> None:
    only_films = bearer("eve", USER, {"films": EDITOR})
    async with running(ALL) as channel:
        request = pb.ExportItemsRequest(parent="catalogs/books")
        error = await failure(drain(stub(channel).ExportItems(request, metadata=only_films)))
    assert reason_of(error) == "ROLE_REQUIRED"


async def test_a_stream_does_not_reach_into_another_catalog_later() -> None:
    only_films = bearer("eve", USER, {"films": EDITOR})
    requests = [pb.ImportItemsRequest(parent=f"catalogs/{c}") for c in ("films", "books")]
    async with running(ALL) as channel:
        error = await failure(stub(channel).ImportItems(iter(requests), metadata=only_films))
    assert reason_of(error) == "ROLE_REQUIRED"


async def test_large_requests_are_checked_too() -> None:
    async def make(request: pb.BatchCreateItemsRequest, _: object) -> pb.BatchCreateItemsResponse:
        return pb.BatchCreateItemsResponse(items=[Item(title=caller().id)] * len(request.requests))

    rows = [pb.CreateItemRequest(item_id=f"i{n}", item=Item(title="x" * 500)) for n in range(1000)]
    request = pb.BatchCreateItemsRequest(parent="catalogs/films", requests=rows)
    async with running([catalogs(BatchCreateItems=make)]) as channel:
        answer = await stub(channel).BatchCreateItems(request, metadata=EDITOR_CALL)
        assert len(answer.items) == 1000
        request.requests[700].item.title = ""
        error = await failure(stub(channel).BatchCreateItems(request, metadata=EDITOR_CALL))
    assert fields_of(error) == ["requests[700].item.title"]


async def test_an_empty_stream_needs_the_role_too() -> None:
    async with running(ALL) as channel:
        error = await failure(stub(channel).ImportItems(iter(()), metadata=USER_CALL))
        assert reason_of(error) == "ROLE_REQUIRED"
        answer = await stub(channel).ImportItems(iter(()), metadata=EDITOR_CALL)
        assert answer.created_count == 0


async def test_a_stream_is_checked_before_the_service_is_asked() -> None:
    asked = []

    async def import_nothing(_: object, __: object) -> pb.ImportItemsResponse:
        asked.append(True)
        return pb.ImportItemsResponse()

    async with running([catalogs(ImportItems=import_nothing)]) as channel:
        requests = iter([pb.ImportItemsRequest(parent="catalogs/films")])
        error = await failure(stub(channel).ImportItems(requests, metadata=USER_CALL))
    assert reason_of(error) == "ROLE_REQUIRED"
    assert not asked


async def test_a_later_message_of_a_stream_is_checked() -> None:
    requests = [
        pb.ImportItemsRequest(parent="catalogs/films"),
        pb.ImportItemsRequest(parent="films"),
    ]
    async with running(ALL) as channel:
        error = await failure(stub(channel).ImportItems(iter(requests), metadata=EDITOR_CALL))
    assert fields_of(error) == ["parent"]


@pytest.mark.parametrize("kind", KINDS)
async def test_methods_to_come(kind: str) -> None:
    planned = [catalogs(), Service(ECHO, object())]
    async with running(planned) as channel:
        # Whatever is sent: there is no use in correcting it.
        error = await failure(call_of(channel, kind, b"\xff"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reason_of(error) == "NOT_IMPLEMENTED"


async def test_a_client_stream_to_come_is_not_read_first() -> None:
    async with running([catalogs()]) as channel:
        call = stub(channel).ImportItems(metadata=EDITOR_CALL, timeout=60)
        assert reason_of(await failure(call)) == "NOT_IMPLEMENTED"


def test_methods_of_a_base_class_are_implemented() -> None:
    class Base:
        async def GetCatalog(self, request: Any, context: Any) -> Any:  # noqa: N802
            pass

    class Servicer(Base, CatalogServiceServicer):
        pass

    assert is_implemented(Servicer(), "GetCatalog")
    assert not is_implemented(Servicer(), "ListCatalogs")


async def test_public_methods_need_no_token() -> None:
    public = method("public: true").services_by_name["Echo"]

    class Servicer:
        @staticmethod
        async def Say(request: pb.GetCatalogRequest, _: object) -> Catalog:  # noqa: N802
            return Catalog(name=request.name)

    async with running([Service(public, Servicer())]) as channel:
        call: Any = channel.unary_unary(f"/{public.full_name}/Say")
        answer = await call(FILMS.SerializeToString())
    assert Catalog.FromString(answer) == Catalog(name="catalogs/films")


async def missing(request: pb.GetCatalogRequest, _: object) -> Catalog:
    raise NotFound(request.name)


@pytest.mark.parametrize("found", [True, False])
async def test_the_request_id_comes_back(found: bool) -> None:
    async with running([catalogs(GetCatalog=get if found else missing)]) as channel:
        metadata = (*USER_CALL, ("x-request-id", "r-1"))
        call = stub(channel).GetCatalog(FILMS, metadata=metadata)
        assert (await call.code() is grpc.StatusCode.OK) is found
        trailing = await call.trailing_metadata()
    assert trailing["x-request-id"] == "r-1"


@pytest.mark.parametrize("sent", ["", "x" * 129, "two words"])
async def test_a_request_id_is_made_where_none_is_usable(sent: str) -> None:
    async with running(ALL) as channel:
        metadata = (*USER_CALL, ("x-request-id", sent))
        call = stub(channel).GetCatalog(FILMS, metadata=metadata)
        await call
        made = (await call.trailing_metadata())["x-request-id"]
    assert made != sent
    assert len(made) == 36


async def test_the_service_knows_the_call() -> None:
    seen = []

    async def look(_: object, __: object) -> Catalog:
        seen.append((current_call(), structlog.contextvars.get_contextvars()))
        return Catalog()

    async with running([catalogs(GetCatalog=look)]) as channel:
        metadata = (*USER_CALL, ("x-request-id", "r-2"))
        await stub(channel).GetCatalog(FILMS, metadata=metadata)
    [(call, bound)] = seen
    assert call is not None
    assert (call.method, call.request_id) == (f"/{CATALOGS.full_name}/GetCatalog", "r-2")
    assert bound == {"request_id": "r-2"}
    assert current_call() is None


async def broken(_: object, __: object) -> Catalog:
    raise ZeroDivisionError("secret of the house")


async def broken_stream(_: object, __: object) -> AsyncIterator[pb.ExportItemsResponse]:
    yield pb.ExportItemsResponse(revision=1)
    raise ZeroDivisionError("secret of the house")


async def test_a_defect_gives_nothing_away() -> None:
    async with running([catalogs(GetCatalog=broken)]) as channel:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            metadata = (*USER_CALL, ("x-request-id", "r-3"))
            error = await failure(stub(channel).GetCatalog(FILMS, metadata=metadata))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert reason_of(error) == "INTERNAL"
    assert "r-3" in (error.details() or "")
    assert "secret" not in f"{error}{status_of(error)}{error.trailing_metadata()}"
    [line] = [line for line in logs if line["event"] == "defect"]
    assert line["request_id"] == "r-3"
    assert isinstance(line["exc_info"], ZeroDivisionError)


async def test_an_answer_that_is_none_is_a_defect() -> None:
    async def nothing(_: object, __: object) -> None:
        return

    async with running([catalogs(GetCatalog=nothing)]) as channel:
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=USER_CALL))
    assert reason_of(error) == "INTERNAL"


async def test_an_error_after_answers_of_a_stream() -> None:
    request = pb.ExportItemsRequest(parent="catalogs/films")
    async with running([catalogs(ExportItems=broken_stream)]) as channel:
        call = stub(channel).ExportItems(request, metadata=EDITOR_CALL)
        assert await call.read() == pb.ExportItemsResponse(revision=1)
        error = await failure(call.read())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert reason_of(error) == "INTERNAL"


async def test_every_call_is_logged_once() -> None:
    async with running([catalogs(GetCatalog=get, GetItem=missing)]) as channel:
        with capture_logs() as logs:

            def lines() -> list[Any]:
                return [line for line in logs if line["event"] == "call"]

            await stub(channel).GetCatalog(FILMS, metadata=USER_CALL)
            request = pb.GetItemRequest(name="catalogs/films/items/a")
            await failure(stub(channel).GetItem(request, metadata=USER_CALL))
            # A caller may hear of an error before the call is over.
            await until(lambda: len(lines()) == 2)
            await failure(stub(channel).GetCatalog(FILMS))
            await until(lambda: len(lines()) == 3)
    assert [(line["code"], line.get("reason"), line["principal"]) for line in lines()] == [
        ("OK", None, "ann"),
        ("NOT_FOUND", "ERROR_REASON_RESOURCE_NOT_FOUND", "ann"),
        ("UNAUTHENTICATED", "ERROR_REASON_TOKEN_MISSING", None),
    ]


class Observed:
    """What an observer is told of."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[tuple[str, float]] = []
        self.seen: object = None

    def begin(self, call: Call, metadata: Metadata) -> Callable[[str, float], None]:
        self.begun.append(call.method)
        self.seen = dict(metadata).get("x-mark")
        return lambda code, seconds: self.ended.append((code, seconds))

    def turned_away(self, path: str) -> None:
        raise AssertionError(path)


async def test_an_observer_is_told_of_every_call() -> None:
    async with chained(catalogs(GetCatalog=get, GetItem=missing)) as (channel, chain):
        chain.observer = observed = Observed()
        await stub(channel).GetCatalog(FILMS, metadata=(*USER_CALL, ("x-mark", "m1")))
        assert observed.seen == "m1"
        request = pb.GetItemRequest(name="catalogs/films/items/a")
        await failure(stub(channel).GetItem(request, metadata=USER_CALL))
        await until(lambda: len(observed.ended) == 2)
        await failure(stub(channel).GetCatalog(FILMS))
        await until(lambda: len(observed.ended) == 3)
    paths = [f"/{CATALOGS.full_name}/{name}" for name in ("GetCatalog", "GetItem", "GetCatalog")]
    assert observed.begun == paths
    assert [code for code, _ in observed.ended] == ["OK", "NOT_FOUND", "UNAUTHENTICATED"]
    assert all(seconds > 0 for _, seconds in observed.ended)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "public: false",
        "roles: ROLE_UNSPECIFIED",
        "public: true roles: ROLE_USER",
        'roles: ROLE_USER resource: "nothing"',
        'roles: ROLE_USER resource: "name.more"',
    ],
)
async def test_a_method_without_a_usable_rule_stops_the_start(rule: str) -> None:
    service = Service(method(rule).services_by_name["Echo"], object())
    with pytest.raises(LookupError, match=r"Echo\.Say"):
        async with running([service]):
            pass
