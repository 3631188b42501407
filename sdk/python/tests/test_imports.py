from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from sdk.python.tests.fake import Failure, Fake, Hang

from recmesh.catalog.v1.catalog_service_pb2 import ImportItemsResponse
from recmesh.catalog.v1.interaction_service_pb2 import ImportInteractionsResponse
from recmesh.common.v1 import error_reason_pb2
from recmesh_client import (
    AsyncClient,
    Cancelled,
    DeadlineExceeded,
    ErrorReason,
    ImportProgress,
    ImportReport,
    Interaction,
    InteractionType,
    Item,
    NotFound,
    RowError,
)
from recmesh_client.wire import upload

DONE = ImportItemsResponse(created_count=3)


def items(count: int, description: str = "") -> Iterator[Item]:
    return (Item(str(n), f"Film {n}", description=description) for n in range(count))


async def test_rows_go_in_messages_and_are_reported(client: AsyncClient, fake: Fake) -> None:
    fake.script("ImportItems", DONE)
    seen: list[ImportProgress] = []
    report = await client.import_items("films", items(450), progress=seen.append)
    assert report == ImportReport(3, 0, 0, 0, ())
    messages = fake.calls[0].requests
    assert [len(message.items) for message in messages] == [200, 200, 50]
    assert messages[0].parent == "catalogs/films"
    names = [item.name for message in messages for item in message.items]
    assert names == [f"catalogs/films/items/{n}" for n in range(450)]
    assert seen == [
        ImportProgress(200, done=False),
        ImportProgress(400, done=False),
        ImportProgress(450, done=True),
    ]


async def test_large_rows_make_messages_of_few(client: AsyncClient, fake: Fake) -> None:
    fake.script("ImportItems", DONE)
    await client.import_items("films", items(40, "x" * 60_000))
    sizes = [message.ByteSize() for message in fake.calls[0].requests]
    assert len(sizes) > 1
    assert max(sizes) < upload.MESSAGE_BYTES + 65_536


async def test_a_row_that_fits_into_no_message_is_refused_here(client: AsyncClient) -> None:
    rows = [Item("1", "Alien"), Item("2", "x" * upload.ROW_BYTES)]
    with pytest.raises(ValueError, match="row 1 has"):
        await client.import_items("films", rows)


async def test_no_rows_still_name_the_catalog(client: AsyncClient, fake: Fake) -> None:
    fake.script("ImportItems", ImportItemsResponse())
    await client.import_items("films", ())
    assert [message.parent for message in fake.calls[0].requests] == ["catalogs/films"]


async def test_rows_may_come_as_they_come(client: AsyncClient, fake: Fake) -> None:
    async def rows() -> AsyncIterator[Item]:
        for item in items(2):
            await asyncio.sleep(0)
            yield item

    fake.script("ImportItems", DONE)
    await client.import_items("films", rows())
    assert len(fake.calls[0].requests[0].items) == 2


async def test_refused_rows_are_told(client: AsyncClient, fake: Fake) -> None:
    error = error_reason_pb2.RowError(
        row=4,
        resource="catalogs/films/items/x",
        reason=error_reason_pb2.ERROR_REASON_INVALID_FIELD,
        message="must be set",
        field="title",
    )
    fake.script("ImportItems", ImportItemsResponse(failed_count=1, errors=[error]))
    report = await client.import_items("films", items(1))
    assert report.errors == (RowError(4, "x", ErrorReason.INVALID_FIELD, "must be set", "title"),)


async def test_an_import_that_is_refused_ends_early(client: AsyncClient, fake: Fake) -> None:
    fake.unread = True
    fake.script("ImportItems", Failure(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"))
    taken = 0

    def rows() -> Iterator[Item]:
        nonlocal taken
        for item in items(1_000_000, "x" * 1000):
            taken += 1
            yield item

    with pytest.raises(NotFound):
        await client.import_items("films", rows())
    assert taken < 1_000_000


async def test_rows_are_taken_no_faster_than_they_are_read(client: AsyncClient, fake: Fake) -> None:
    hang = Hang()
    fake.script("ImportItems", hang)
    fake.unread = True
    taken = 0

    def rows() -> Iterator[Item]:
        nonlocal taken
        for item in items(200_000, "x" * 1000):
            taken += 1
            yield item

    task = asyncio.create_task(client.import_items("films", rows()))
    await asyncio.wait_for(hang.asked.wait(), 60)
    # Until no more is taken: what is in the buffers by then is all that it may be.
    before = -1
    while before != taken:
        before = taken
        await asyncio.sleep(0.2)
    assert taken < 20_000
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(hang.cancelled.wait(), 60)


async def test_an_import_that_nobody_reads_ends_at_its_deadline(
    client: AsyncClient, fake: Fake
) -> None:
    fake.always("ImportItems", lambda _: Hang())
    fake.unread = True
    with pytest.raises(DeadlineExceeded):
        await client.import_items("films", items(200_000, "x" * 1000), timeout=0.5)


async def test_an_error_of_the_rows_own_passes(client: AsyncClient, fake: Fake) -> None:
    fake.always("ImportItems", lambda _: DONE)

    async def rows() -> AsyncIterator[Item]:
        for item in items(400):
            yield item
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await client.import_items("films", rows())


async def test_interactions_are_imported_too(client: AsyncClient, fake: Fake) -> None:
    fake.script("ImportInteractions", ImportInteractionsResponse(created_count=501))
    rows = [Interaction("1", InteractionType.LIKE, user=str(n), id=str(n)) for n in range(501)]
    assert (await client.import_interactions("films", rows)).created == 501
    messages = fake.calls[0].requests
    assert [len(message.interactions) for message in messages] == [500, 1]
    assert messages[0].interactions[0].name == "catalogs/films/interactions/0"


async def test_closing_the_client_ends_an_import(fake: Fake) -> None:
    hang = Hang()
    fake.script("ImportItems", hang)
    client = AsyncClient.connect(fake.target)
    task = asyncio.create_task(client.import_items("films", items(1)))
    await asyncio.wait_for(hang.asked.wait(), 30)
    await client.close()
    with pytest.raises(Cancelled):
        await task


async def test_a_cancelled_task_ends_its_import(client: AsyncClient, fake: Fake) -> None:
    hang = Hang()
    fake.script("ImportItems", hang)
    task = asyncio.create_task(client.import_items("films", items(1)))
    await asyncio.wait_for(hang.asked.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(hang.cancelled.wait(), 30)
