"""Lists and exports while others write."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recmesh.catalog.v1.catalog_service_pb2 import (
    DeleteItemRequest,
    ExportItemsRequest,
    ListItemsRequest,
)
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import (
    ExportInteractionsRequest,
    ListInteractionsRequest,
)
from recmesh.catalog.v1.item_pb2 import Item
from services.catalog.tests.conftest import EDITOR, Mesh
from services.catalog.tests.test_export_interactions import until
from services.catalog.tests.test_import_interactions import import_, row
from services.catalog.tests.test_interactions import at

SINCE = datetime(2024, 1, 1, tzinfo=UTC)
WRITERS = 4
ROUNDS = 12

Event = tuple[int, str]
"""When, and its id: the order of a listing, backwards."""

ids = st.text("aAb-1ßéя日🎬", min_size=1, max_size=3)
events = st.tuples(st.integers(0, 2), ids)
sizes = st.integers(1, 4)
limits = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def some(one: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(one, max_size=6, unique=True)


@limits
@given(some(ids), st.lists(some(ids), max_size=5), sizes)
async def test_items(mesh: Mesh, first: list[str], later: list[list[str]], size: int) -> None:
    """Each page holds what is there by then, from where the page before ended."""
    parent = await mesh.catalog()
    there: set[str] = set()

    async def write(new: list[str]) -> None:
        there.update(new)
        await mesh.import_items(parent, [Item(name=f"{parent}/items/{i}", title=i) for i in new])

    await write(first)
    waiting = iter(later)
    token, last = "", ""
    while True:
        request = ListItemsRequest(parent=parent, page_size=size, page_token=token)
        answer = await mesh.catalogs.ListItems(request, metadata=EDITOR)
        found = [item.title for item in answer.items]
        rest = sorted(item for item in there if item > last)
        assert found == rest[:size]
        assert bool(answer.next_page_token) == (len(rest) > size)
        if not answer.next_page_token:
            return
        token, last = answer.next_page_token, found[-1]
        await write(next(waiting, []))


@limits
@given(
    st.lists(events, max_size=8, unique_by=lambda event: event[1]),
    st.lists(st.lists(events, max_size=4), max_size=5),
    sizes,
)
async def test_interactions(
    mesh: Mesh, first: list[Event], later: list[list[Event]], size: int
) -> None:
    """The same, the newest first; many happen at the same time."""
    parent = await mesh.catalog()
    there: dict[str, Event] = {}

    async def write(new: list[Event]) -> None:
        fresh = {event[1]: event for event in reversed(new) if event[1] not in there}
        there.update(fresh)
        rows = [
            row(parent, i, event_time=at(SINCE + timedelta(days=day))) for day, i in fresh.values()
        ]
        await import_(mesh, parent, rows)

    await write(first)
    waiting = iter(later)
    token = ""
    last: Event = (99, "")
    while True:
        request = ListInteractionsRequest(parent=parent, page_size=size, page_token=token)
        answer = await mesh.interactions.ListInteractions(request, metadata=EDITOR)
        found = [_event(parent, one) for one in answer.interactions]
        rest = sorted((event for event in there.values() if event < last), reverse=True)
        assert found == rest[:size]
        assert bool(answer.next_page_token) == (len(rest) > size)
        if not answer.next_page_token:
            return
        token, last = answer.next_page_token, found[-1]
        await write(next(waiting, []))


async def test_export_of_items(mesh: Mesh, parent: str) -> None:
    """Whoever follows the revisions while several write knows everything in the end, and is told nothing twice."""
    known: dict[str, Item] = {}
    reached = 0

    async def follow() -> None:
        nonlocal reached
        request = ExportItemsRequest(parent=parent, after_revision=reached)
        async for answer in mesh.catalogs.ExportItems(request, metadata=EDITOR):
            revisions = [item.revision for item in answer.items]
            assert revisions == sorted(set(revisions))
            assert not revisions or (reached < revisions[0] and revisions[-1] <= answer.revision)
            for name in answer.deleted_names:
                known.pop(name, None)
            known.update({item.name: item for item in answer.items})
            reached = answer.revision

    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(_change(mesh, parent, n)) for n in range(WRITERS)]
        while not all(writer.done() for writer in writers):
            await follow()
    await follow()
    request = ListItemsRequest(parent=parent, page_size=1000)
    answer = await mesh.catalogs.ListItems(request, metadata=EDITOR)
    assert sorted(known.values(), key=lambda item: item.name) == list(answer.items)


async def test_export_of_interactions(mesh: Mesh, parent: str) -> None:
    """The same: transactions that began early may end late."""
    known: list[str] = []
    token = ""

    async def follow() -> None:
        nonlocal token
        request = ExportInteractionsRequest(parent=parent, resume_token=token)
        async for answer in mesh.interactions.ExportInteractions(request, metadata=EDITOR):
            known.extend(one.name.rpartition("/")[2] for one in answer.interactions)
            token = answer.resume_token

    async def write(writer: int) -> None:
        for turn in range(ROUNDS):
            rows = [row(parent, f"{writer}-{turn}-{n}") for n in range(20)]
            await import_(mesh, parent, rows)

    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write(n)) for n in range(WRITERS)]
        while not all(writer.done() for writer in writers):
            await follow()
    wanted = {f"{w}-{t}-{n}" for w in range(WRITERS) for t in range(ROUNDS) for n in range(20)}
    rest = await until(mesh, parent, wanted - set(known), token)
    known += [one.name.rpartition("/")[2] for answer in rest for one in answer.interactions]
    assert sorted(known) == sorted(wanted)


def _event(parent: str, one: Interaction) -> Event:
    when = one.event_time.ToDatetime(UTC) - SINCE
    return when.days, one.name.removeprefix(f"{parent}/interactions/")


async def _change(mesh: Mesh, parent: str, writer: int) -> None:
    """Makes, changes and deletes items: some of its own, some of everybody's."""
    chance = random.Random(writer)  # noqa: S311 - the same each time
    for turn in range(ROUNDS):
        names = [f"{parent}/items/{writer}-{chance.randrange(30)}" for _ in range(20)]
        names += [f"{parent}/items/all-{n}" for n in range(5)]
        rows = [Item(name=name, title=f"{writer} {turn}") for name in dict.fromkeys(names)]
        await mesh.import_items(parent, rows)
        request = DeleteItemRequest(name=chance.choice(names), allow_missing=True)
        await mesh.catalogs.DeleteItem(request, metadata=EDITOR)
