"""The client that waits, each in a thread of its own: the fake answers in this one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from sdk.python.tests.fake import Failure, Fake, Hang

from recmesh.catalog.v1.catalog_pb2 import Catalog as WireCatalog
from recmesh.catalog.v1.catalog_service_pb2 import ImportItemsResponse, ListItemsResponse
from recmesh.catalog.v1.item_pb2 import Item as WireItem
from recmesh.recommender.v1.recommendation_pb2 import Recommendation as Wire
from recmesh_client import (
    Cancelled,
    Client,
    ImportProgress,
    Item,
    NotFound,
    Password,
    Retry,
    SignInFailed,
    State,
    Tls,
    Token,
)
from recmesh_client.wire import blocking

JOB = "catalogs/films/recommendations/1"


def connected(fake: Fake) -> Client:
    return Client.connect(fake.target, credentials=Token("t"), retry=Retry(base=0.001))


def client_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "recmesh-client"]


async def test_a_call_is_answered(fake: Fake) -> None:
    fake.script("GetCatalog", WireCatalog(name="catalogs/films"))

    def use() -> str:
        with connected(fake) as client:
            return client.get_catalog("films").id

    assert await asyncio.to_thread(use) == "films"
    assert fake.calls[0].metadata["authorization"] == "Bearer t"


async def test_an_error_is_raised(fake: Fake) -> None:
    fake.script("GetItem", Failure(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"))

    def use() -> None:
        with connected(fake) as client, pytest.raises(NotFound):
            client.get_item("films", "1")

    await asyncio.to_thread(use)


async def test_what_a_stopping_server_dropped_is_repeated(fake: Fake) -> None:
    dropped = Failure(grpc.StatusCode.CANCELLED, message="CANCELLED", request_id="")
    fake.script("GetCatalog", dropped, WireCatalog(name="catalogs/films"))

    def use() -> str:
        with connected(fake) as client:
            return client.get_catalog("films").id

    assert await asyncio.to_thread(use) == "films"


async def test_pages_and_a_watch_are_iterated(fake: Fake) -> None:
    items = [WireItem(name=f"catalogs/films/items/{n}") for n in "ab"]
    fake.script("ListItems", ListItemsResponse(items=items, next_page_token="t"))
    fake.script("ListItems", ListItemsResponse(items=items[:1]))
    queued = Wire(name=JOB, state=Wire.STATE_QUEUED)
    away = Failure(grpc.StatusCode.UNAVAILABLE)
    fake.script("WatchRecommendation", [queued, away], [Wire(name=JOB, state=Wire.STATE_SUCCEEDED)])

    def use() -> None:
        with connected(fake) as client:
            assert [item.id for item in client.list_items("films")] == ["a", "b", "a"]
            assert [job.state for job in client.watch(JOB)] == [State.QUEUED, State.SUCCEEDED]

    await asyncio.to_thread(use)


async def test_a_watch_may_be_left(fake: Fake) -> None:
    fake.script("WatchRecommendation", [Wire(name=JOB), Wire(name=JOB, attempt_count=1)])

    def use() -> None:
        with connected(fake) as client:
            for job in client.watch(JOB):
                assert job.name == JOB
                break

    await asyncio.to_thread(use)


async def test_rows_of_an_import_may_come_from_the_client_itself(fake: Fake) -> None:
    fake.script("ListItems", ListItemsResponse(items=[WireItem(name="catalogs/films/items/a")]))
    fake.script("ImportItems", ImportItemsResponse(created_count=1))
    seen: list[tuple[str, ImportProgress]] = []

    def use() -> str:
        with connected(fake) as client:

            def rows() -> Iterator[Item]:
                yield from client.list_items("films")

            report = client.import_items(
                "copies",
                rows(),
                progress=lambda p: seen.append((threading.current_thread().name, p)),
            )
            assert report.created == 1
        return threading.current_thread().name

    name = await asyncio.to_thread(use)
    assert seen == [(name, ImportProgress(1, done=True))]
    assert fake.of("ImportItems")[0].requests[0].items[0].name == "catalogs/copies/items/a"


async def test_rows_that_fail_end_the_import(fake: Fake) -> None:
    fake.always("ImportItems", lambda _: ImportItemsResponse())

    def rows() -> Iterator[Item]:
        yield Item("1")
        raise LookupError("no more")

    def use() -> None:
        with connected(fake) as client, pytest.raises(LookupError):
            client.import_items("films", rows())

    await asyncio.to_thread(use)


async def test_many_threads_share_a_client(fake: Fake) -> None:
    fake.script("GetCatalog", *[WireCatalog(name="catalogs/films")] * 8)
    client = await asyncio.to_thread(connected, fake)
    found = await asyncio.gather(
        *(asyncio.to_thread(client.get_catalog, "films") for _ in range(8))
    )
    assert {catalog.id for catalog in found} == {"films"}
    await asyncio.to_thread(client.close)


async def test_signing_in_fails_at_once(fake: Fake) -> None:
    fake.script("Login", Failure(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID"))

    def use() -> None:
        with Client.connect(fake.target) as client, pytest.raises(SignInFailed):
            client.sign_in(Password("ada@example.org", "wrong"))

    await asyncio.to_thread(use)


async def test_closing_ends_the_calls_of_other_threads(fake: Fake) -> None:
    hang = Hang()
    fake.script("GetCatalog", hang)
    client = await asyncio.to_thread(connected, fake)
    waiting = asyncio.create_task(asyncio.to_thread(client.get_catalog, "films"))
    await asyncio.wait_for(hang.asked.wait(), 30)
    await asyncio.to_thread(client.close)
    with pytest.raises(Cancelled):
        await waiting


async def test_what_does_not_end_in_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "SETTLE_SECONDS", 0)
    thread = blocking.LoopThread()
    begun = threading.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(asyncio.to_thread(thread.run, hang()))
    assert await asyncio.to_thread(begun.wait, 60)
    await asyncio.to_thread(thread.close)
    with pytest.raises(Cancelled):
        await waiting


async def test_nothing_begins_while_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    settling, over = threading.Event(), threading.Event()

    async def settle(_: object) -> None:
        settling.set()
        await asyncio.to_thread(over.wait, 60)

    async def nothing() -> None:
        pass

    monkeypatch.setattr(blocking, "_settle", settle)
    thread = blocking.LoopThread()
    closing = asyncio.create_task(asyncio.to_thread(thread.close))
    assert await asyncio.to_thread(settling.wait, 60)
    with pytest.raises(RuntimeError, match="closed"):
        thread.run(nothing())
    over.set()
    await closing


async def test_two_threads_that_close_it_at_once_close_it_once(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await asyncio.to_thread(connected, fake)
    begun, over = threading.Event(), threading.Event()
    close, closed = client._wire.close, list[str]()

    async def slowly() -> None:
        closed.append(threading.current_thread().name)
        begun.set()
        await asyncio.to_thread(over.wait, 60)
        await close()

    monkeypatch.setattr(client._wire, "close", slowly)
    closing = asyncio.create_task(asyncio.to_thread(client.close))
    assert await asyncio.to_thread(begun.wait, 60)
    await asyncio.to_thread(client.close)
    with pytest.raises(RuntimeError, match="closed"):
        await asyncio.to_thread(client.get_catalog, "films")
    over.set()
    await closing
    assert closed == ["recmesh-client"]


async def test_what_ends_after_the_client_is_closed_ends_as_it_would(fake: Fake) -> None:
    fake.always("ImportItems", lambda _: ImportItemsResponse())
    fake.script("ListItems", ListItemsResponse(items=[WireItem(name="catalogs/films/items/a")]))

    def use() -> None:
        client = connected(fake)
        listing = iter(client.list_items("films"))
        next(listing)

        def rows() -> Iterator[Item]:
            yield Item("1")
            client.close()
            raise LookupError("no more")

        with pytest.raises(LookupError):
            client.import_items("films", rows())
        assert isinstance(listing, Generator)
        listing.close()

    await asyncio.to_thread(use)


def test_an_iteration_that_the_collector_ends_in_the_middle_of_a_call_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hand_over = asyncio.run_coroutine_threadsafe
    left: list[Generator[int, None, None]] = []

    def collecting(*arguments: Any) -> Any:
        if left:
            left.pop().close()
        return hand_over(*arguments)

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def two() -> int:
        return 2

    found: list[int] = []

    def use() -> None:
        thread = blocking.LoopThread()
        iteration = thread.each(numbers())
        assert isinstance(iteration, Generator)
        found.append(next(iteration))
        left.append(iteration)
        found.append(thread.run(two()))
        thread.close()

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", collecting)
    using = threading.Thread(target=use, daemon=True)
    using.start()
    using.join(60)
    assert (using.is_alive(), found, left) == (False, [1, 2], [])


def test_a_closed_client_says_so_and_leaves_no_thread() -> None:
    before = client_threads()
    client = Client.connect("localhost:1")
    client.close()
    client.close()
    assert set(client_threads()) <= set(before)
    with pytest.raises(RuntimeError, match="closed"):
        client.get_catalog("films")


def test_a_client_that_cannot_be_made_leaves_no_thread() -> None:
    before = client_threads()
    with pytest.raises(FileNotFoundError):
        Client.connect(tls=Tls(ca=Path("nowhere.pem")))
    assert set(client_threads()) <= set(before)
