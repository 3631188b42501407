from datetime import UTC, datetime

import grpc
import pytest

from recmesh.catalog.v1.catalog_service_pb2 import ListItemsRequest, ListItemsResponse
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import (
    ListInteractionsRequest,
    ListInteractionsResponse,
    WriteInteractionRequest,
)
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit.testing import status_of
from services.catalog.tests.conftest import ANN, BOB, EDITOR, Mesh, Metadata, failure

INVALID = "INVALID_ARGUMENT INVALID_FILTER filter"

ITEMS: dict[str, dict[str, object]] = {
    "alien": {
        "title": "Alien",
        "genres": ["Horror", "Science Fiction"],
        "tags": ["space"],
        "release_year": 1979,
        "directors": ["Ridley Scott"],
        "cast": ["Sigourney Weaver"],
        "language": "en",
        "average_rating": 8.5,
        "labels": {"studio": "Fox", "print.no": "7", "empty": ""},
    },
    "amelie": {
        "title": "Amélie",
        "genres": ["Comedy", "Romance"],
        "release_year": 2001,
        "language": "fr",
        "average_rating": 0,
        "labels": {"studio": "UGC"},
    },
    "mash": {"title": "M*A*S*H", "genres": ["Comedy", "War_100%"], "release_year": 1970},
    "stalker": {"title": "СТАЛКЕР", "genres": ["Drama"], "language": "ru"},
    "blank": {"title": "Untitled"},
    "secret": {"title": "Secret", "genres": ["Drama"], "hidden": True},
}


@pytest.fixture(scope="module")
async def films(mesh: Mesh) -> str:
    parent = await mesh.catalog()
    await mesh.import_items(
        parent,
        [Item(name=f"{parent}/items/{i}", **content) for i, content in ITEMS.items()],  # type: ignore[arg-type]
    )
    return parent


async def items(
    mesh: Mesh, parent: str, where: str, metadata: Metadata = EDITOR, **more: object
) -> ListItemsResponse:
    request = ListItemsRequest(parent=parent, filter=where, **more)  # type: ignore[arg-type]
    return await mesh.catalogs.ListItems(request, metadata=metadata)


async def selected(mesh: Mesh, parent: str, where: str, metadata: Metadata = EDITOR) -> str:
    answer = await items(mesh, parent, where, metadata)
    return " ".join(item.name.rpartition("/")[2] for item in answer.items)


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (" ", "alien amelie blank mash secret stalker"),
        ("*", "alien amelie blank mash secret stalker"),
        ("NOT *", ""),
        # Texts
        ('title = "ALIEN"', "alien"),
        ('title = "Ame\u0301lie"', "amelie"),
        ('title = "Amelie"', ""),
        ('title:"lie"', "alien amelie"),
        ("title:сталк", "stalker"),
        ("title = a*", "alien amelie"),
        ("title = *лкер", "stalker"),
        ('title = "*т*"', "stalker"),
        ('title != "a*"', "blank mash secret stalker"),
        ('title = "m*a*s*h"', "mash"),
        (r'title = "m\**"', "mash"),
        ("title < b", "alien amelie"),
        ("title >= untitled", "blank stalker"),
        # Missing texts
        ("language:*", "alien amelie stalker"),
        ('language != "en"', "amelie stalker"),
        ('NOT language = "en"', "amelie blank mash secret stalker"),
        ("language < z", "alien amelie stalker"),
        # Lists
        ('genres:"drama"', "secret stalker"),
        ("genres:Com*", "amelie mash"),
        ("genres:*fiction", "alien"),
        ('genres:"war_100%"', "mash"),
        ('genres:"*_100%"', "mash"),
        ('genres:"*w%*"', ""),
        ("-genres:*", "blank"),
        ('genres:("Horror" OR "Romance")', "alien amelie"),
        ('genres:("Comedy" AND NOT "Romance")', "mash"),
        ('directors:"ridley scott" cast:"sigourney weaver" tags:space', "alien"),
        # Numbers
        ("release_year >= 1979", "alien amelie"),
        ("release_year < 1979", "mash"),
        ("release_year <= 0", ""),
        ("release_year != 1979", "amelie mash"),
        ("NOT release_year > 1900", "blank secret stalker"),
        ("average_rating:*", "alien amelie"),
        ("average_rating = 0", "amelie"),
        ("average_rating > 8.4e0", "alien"),
        ("NOT average_rating > 8.4", "amelie blank mash secret stalker"),
        # Booleans
        ("hidden = true", "secret"),
        ("hidden:* hidden != true", "alien amelie blank mash stalker"),
        # Labels
        ("labels:*", "alien amelie"),
        ("labels:empty", "alien"),
        ('labels.studio = "fox"', "alien"),
        ('labels.studio != "fox"', "amelie"),
        ("labels.studio:*", "alien amelie"),
        ("NOT labels.studio:u*", "alien blank mash secret stalker"),
        ('labels.empty = ""', "alien"),
        ("labels.empty:*", "alien"),
        ('labels."print.no" >= 5', "alien"),
        ("labels.Studio:*", ""),
        # Anywhere
        ("horror", "alien"),
        ('"ridley scott" OR "m*a*s*h"', "alien mash"),
        # Precedence: OR first
        ("genres:comedy AND release_year:2001 OR release_year:1979", "amelie"),
        ("(genres:comedy AND release_year:2001) OR release_year:1979", "alien amelie"),
    ],
)
async def test_filter_selects(mesh: Mesh, films: str, where: str, ids: str) -> None:
    assert await selected(mesh, films, where) == ids


async def test_filter_that_selects_a_hidden_item_shows_it_to_editors_only(
    mesh: Mesh, films: str
) -> None:
    for where in ("hidden = true", "genres:drama OR hidden:true", "NOT genres:comedy", "*"):
        assert "secret" in await selected(mesh, films, where)
        assert "secret" not in await selected(mesh, films, where, ANN)


async def test_filter_follows_a_change(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "a", genres=["Drama"])
    item.genres[:] = ["Comedy"]
    await mesh.update(item, "genres")
    assert await selected(mesh, parent, "genres:drama") == ""
    assert await selected(mesh, parent, "genres:comedy") == "a"


async def test_error_points_at_the_column(mesh: Mesh, films: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await items(mesh, films, "title = x AND release_yaer > 1980")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "'release_yaer' is not a field" in str(caught.value.details())
    assert b"\n\x06column\x12\x0215" in status_of(caught.value).SerializeToString()


async def test_pages_of_a_filter(mesh: Mesh, films: str) -> None:
    first = await items(mesh, films, "NOT labels:*", page_size=3)
    second = await items(mesh, films, "NOT labels:*", page_size=3, page_token=first.next_page_token)
    names = [item.name.rpartition("/")[2] for item in [*first.items, *second.items]]
    assert names == ["blank", "mash", "secret", "stalker"]
    call = items(mesh, films, "genres:*", page_token=first.next_page_token)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_PAGE_TOKEN"


def at(hour: int) -> datetime:
    return datetime(2024, 1, 1, hour, tzinfo=UTC)


@pytest.fixture(scope="module")
async def events(mesh: Mesh) -> str:
    parent = await mesh.catalog()
    rated, viewed = Interaction.TYPE_RATING, Interaction.TYPE_VIEW
    rows: list[tuple[str, dict[str, object]]] = [
        ("r1", {"user": "ann", "type": rated, "value": 4.5, "item": "alien", "event_time": at(1)}),
        ("r2", {"user": "bob", "type": rated, "value": 0, "item": "heat", "event_time": at(2)}),
        ("v1", {"user": "ann", "type": viewed, "item": "alien", "event_time": at(3)}),
        ("v2", {"user": "Ann", "type": viewed, "item": "heat", "event_time": at(4), "session": "s:1"}),
    ]  # fmt: skip
    for interaction_id, content in rows:
        content["item"] = f"{parent}/items/{content['item']}"
        request = WriteInteractionRequest(
            parent=parent,
            interaction_id=interaction_id,
            interaction=Interaction(**content),  # type: ignore[arg-type]
        )
        await mesh.interactions.WriteInteraction(request, metadata=EDITOR)
    return parent


async def interactions(
    mesh: Mesh, parent: str, where: str, metadata: Metadata = EDITOR, **more: object
) -> ListInteractionsResponse:
    where = where.replace("$", f"{parent}/items/")
    request = ListInteractionsRequest(parent=parent, filter=where, **more)  # type: ignore[arg-type]
    return await mesh.interactions.ListInteractions(request, metadata=metadata)


async def happened(mesh: Mesh, parent: str, where: str, metadata: Metadata = EDITOR) -> str:
    answer = await interactions(mesh, parent, where, metadata)
    return " ".join(row.name.rpartition("/")[2] for row in answer.interactions)


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("*", "v2 v1 r2 r1"),
        ('user = "ann"', "v1 r1"),
        ("user:a* OR user >= b", "v1 r2 r1"),
        ('item = "$alien"', "v1 r1"),
        ("item:$h*", "v2 r2"),
        ("type = TYPE_RATING", "r2 r1"),
        ("type:(TYPE_VIEW OR TYPE_LIKE)", "v2 v1"),
        ("type != TYPE_VIEW", "r2 r1"),
        ("value >= 0", "r2 r1"),
        ("value > -1.5 AND value < 1", "r2"),
        ("NOT value > 3", "v2 v1 r2"),
        ("value:*", "r2 r1"),
        ("event_time > 2024-01-01T02:00:00Z", "v2 v1"),
        ('event_time <= "2024-01-01T03:00:00.000+01:00"', "r2 r1"),
        ("event_time = 2024-01-01T01:00:00z", "r1"),
        ("session:*", "v2"),
        ("session = s:1", "v2"),
        ('session != "s:2"', "v2"),
        ("session < t", "v2"),
        ("NOT session = s:1", "v1 r2 r1"),
    ],
)
async def test_filter_selects_interactions(mesh: Mesh, events: str, where: str, ids: str) -> None:
    assert await happened(mesh, events, where) == ids


async def test_filter_shows_users_nobody_elses_interactions(mesh: Mesh, events: str) -> None:
    assert await happened(mesh, events, "value:*", BOB) == "r2"
    assert await happened(mesh, events, 'user = "ann"', BOB) == ""
    assert await happened(mesh, events, "user:* OR user != bob", BOB) == "r2"


@pytest.mark.parametrize(
    "where",
    ["title:x", "ann", "item = alien", 'item = "catalogs/other/items/alien"', "type = LIKE"],
)
async def test_bad_filter_of_interactions(mesh: Mesh, events: str, where: str) -> None:
    assert await failure(interactions(mesh, events, where)) == INVALID


async def test_pages_of_filtered_interactions(mesh: Mesh, events: str) -> None:
    first = await interactions(mesh, events, "user:*", page_size=3)
    token = first.next_page_token
    second = await interactions(mesh, events, "user:*", page_size=3, page_token=token)
    assert [row.name[-2:] for row in second.interactions] == ["r1"]
    call = interactions(mesh, events, "value:*", page_token=token)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_PAGE_TOKEN"
