from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import (
    ListInteractionsRequest,
    WriteInteractionRequest,
)
from services.catalog.tests.conftest import ANN, BOB, EDITOR, Mesh, Metadata, failure

EXISTS = "ALREADY_EXISTS RESOURCE_EXISTS"


def at(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


async def write(
    mesh: Mesh,
    parent: str,
    interaction_id: str = "",
    *,
    metadata: Metadata = ANN,
    **content: object,
) -> Interaction:
    content = {"item": f"{parent}/items/alien", "type": Interaction.TYPE_LIKE, **content}
    request = WriteInteractionRequest(
        parent=parent,
        interaction_id=interaction_id,
        interaction=Interaction(**content),  # type: ignore[arg-type]
    )
    return await mesh.interactions.WriteInteraction(request, metadata=metadata)


async def listed(
    mesh: Mesh, parent: str, *, user: str = "", metadata: Metadata = EDITOR
) -> list[Interaction]:
    request = ListInteractionsRequest(parent=parent, user=user)
    answer = await mesh.interactions.ListInteractions(request, metadata=metadata)
    return list(answer.interactions)


async def test_interaction_is_read_as_it_was_written(mesh: Mesh, parent: str) -> None:
    when = at(datetime(2024, 2, 29, 12, 30, 0, 123456, UTC))
    content = {
        "user": "imported-7",
        "type": Interaction.TYPE_RATING,
        "value": 4.5,
        "event_time": when,
        "session": "s",
        "attribution_token": "t",
    }
    written = await write(mesh, parent, "one", metadata=EDITOR, **content)
    sent = Interaction(
        name=f"{parent}/interactions/one",
        item=f"{parent}/items/alien",
        create_time=written.create_time,
        **content,  # type: ignore[arg-type]
    )
    assert written == sent
    assert await listed(mesh, parent) == [written]


async def test_user_and_time_are_the_callers_and_now_by_default(mesh: Mesh, parent: str) -> None:
    before = datetime.now(UTC)
    written = await write(mesh, parent)
    assert written.user == "ann"
    assert before <= written.event_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert not written.HasField("value")


async def test_each_interaction_without_an_id_is_another(mesh: Mesh, parent: str) -> None:
    first, second = await write(mesh, parent), await write(mesh, parent)
    assert first.name != second.name
    assert len(await listed(mesh, parent)) == 2


async def test_item_need_not_be_there_yet(mesh: Mesh, parent: str) -> None:
    written = await write(mesh, parent, item=f"{parent}/items/not-yet")
    assert written.item == f"{parent}/items/not-yet"


async def test_item_of_another_catalog(mesh: Mesh, parent: str) -> None:
    call = write(mesh, parent, item="catalogs/other/items/alien")
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD interaction.item"


async def test_repeated_write_answers_what_was_written(mesh: Mesh, parent: str) -> None:
    written = await write(mesh, parent, "once")
    await mesh.events(parent)
    assert await write(mesh, parent, "once") == written
    assert await write(mesh, parent, "once", event_time=written.event_time) == written
    assert await listed(mesh, parent) == [written]
    assert await mesh.events(parent) == []


async def test_id_that_stands_for_something_else(mesh: Mesh, parent: str) -> None:
    await write(mesh, parent, "once", event_time=at(datetime(2024, 1, 1, tzinfo=UTC)))
    later = at(datetime(2024, 1, 2, tzinfo=UTC))
    assert await failure(write(mesh, parent, "once", type=Interaction.TYPE_VIEW)) == EXISTS
    assert await failure(write(mesh, parent, "once", event_time=later)) == EXISTS
    assert await failure(write(mesh, parent, "once", value=0)) == EXISTS
    assert await failure(write(mesh, parent, "once", metadata=BOB)) == EXISTS


async def test_same_id_in_two_catalogs_is_two_interactions(mesh: Mesh, parent: str) -> None:
    other = await mesh.catalog()
    await write(mesh, parent, "one")
    await write(mesh, other, "one", type=Interaction.TYPE_VIEW)
    assert [i.type for i in await listed(mesh, other)] == [Interaction.TYPE_VIEW]


async def test_rating_needs_a_value(mesh: Mesh, parent: str) -> None:
    call = write(mesh, parent, type=Interaction.TYPE_RATING)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD interaction.value"
    rated = await write(mesh, parent, type=Interaction.TYPE_RATING, value=0)
    assert rated.HasField("value")


async def test_event_too_far_ahead(mesh: Mesh, parent: str) -> None:
    now = datetime.now(UTC)
    await write(mesh, parent, event_time=at(now + timedelta(hours=23)))
    call = write(mesh, parent, event_time=at(now + timedelta(hours=25)))
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD interaction.event_time"


async def test_event_of_the_year_one(mesh: Mesh, parent: str) -> None:
    first = at(datetime(1, 1, 1, tzinfo=UTC))
    await write(mesh, parent, "old", event_time=first)
    assert (await listed(mesh, parent))[0].event_time == first


async def test_users_act_for_themselves_only(mesh: Mesh, parent: str) -> None:
    assert (await write(mesh, parent, user="ann")).user == "ann"
    call = write(mesh, parent, user="bob")
    assert await failure(call) == "PERMISSION_DENIED ACTING_FOR_ANOTHER"


async def test_users_see_their_own_only(mesh: Mesh, parent: str) -> None:
    await write(mesh, parent, "anns")
    await write(mesh, parent, "bobs", metadata=BOB)
    mine = [f"{parent}/interactions/anns"]
    assert [i.name for i in await listed(mesh, parent, metadata=ANN)] == mine
    assert [i.name for i in await listed(mesh, parent, user="ann", metadata=ANN)] == mine
    assert await listed(mesh, parent, user="bob", metadata=ANN) == []


async def test_editors_see_everybodys_or_one_persons(mesh: Mesh, parent: str) -> None:
    await write(mesh, parent, "anns")
    await write(mesh, parent, "bobs", metadata=BOB)
    assert [i.user for i in await listed(mesh, parent)] == ["bob", "ann"]
    assert [i.user for i in await listed(mesh, parent, user="bob")] == ["bob"]


async def test_pages_go_from_new_to_old_without_gaps(mesh: Mesh, parent: str) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    # Three at a time happen at the same moment.
    for n in (4, 0, 7, 2, 8, 1, 6, 3, 5):
        await write(mesh, parent, f"i{n}", event_time=at(start + timedelta(seconds=n // 3)))
    found: list[str] = []
    token = ""
    while token or not found:
        request = ListInteractionsRequest(parent=parent, page_size=2, page_token=token)
        answer = await mesh.interactions.ListInteractions(request, metadata=ANN)
        found += [interaction.name[-2:] for interaction in answer.interactions]
        token = answer.next_page_token
    assert found == [f"i{n}" for n in range(8, -1, -1)]
