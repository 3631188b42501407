from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import (
    ImportInteractionsRequest,
    ImportInteractionsResponse,
)
from recmesh.events.v1.catalog_events_pb2 import InteractionsWritten
from services.catalog.tests.conftest import ANN, EDITOR, Mesh, Metadata, failure
from services.catalog.tests.test_interactions import at, listed

MANY = 5000
IN_A_MESSAGE = 500
WHEN = datetime(2024, 2, 29, 12, 30, 0, 123456, UTC)


def row(parent: str, interaction: str = "", **content: object) -> Interaction:
    content = {
        "name": f"{parent}/interactions/{interaction}" if interaction else "",
        "user": "imported",
        "item": f"{parent}/items/alien",
        "type": Interaction.TYPE_LIKE,
        **content,
    }
    return Interaction(**content)  # type: ignore[arg-type]


async def import_(
    mesh: Mesh, parent: str, *groups: Iterable[Interaction], metadata: Metadata = EDITOR
) -> ImportInteractionsResponse:
    async def requests() -> AsyncIterator[ImportInteractionsRequest]:
        for index, group in enumerate(groups):
            yield ImportInteractionsRequest(parent="" if index else parent, interactions=group)

    return await mesh.interactions.ImportInteractions(requests(), metadata=metadata)


def counts(answer: ImportInteractionsResponse) -> tuple[int, int, int]:
    return answer.created_count, answer.unchanged_count, answer.failed_count


async def test_row_is_read_as_it_was_sent(mesh: Mesh, parent: str) -> None:
    full = {"type": Interaction.TYPE_RATING, "value": 4.5, "session": "s", "attribution_token": "t"}
    sent = row(parent, "one", event_time=at(WHEN), **full)
    assert counts(await import_(mesh, parent, [sent])) == (1, 0, 0)
    (found,) = await listed(mesh, parent)
    sent.create_time.CopyFrom(found.create_time)
    assert found == sent


async def test_good_rows_go_in_and_bad_ones_are_reported_with_their_positions(
    mesh: Mesh, parent: str
) -> None:
    first = [
        row(parent, "a"),
        row(parent, "b", type=Interaction.TYPE_RATING),
        row(parent, "c", item="catalogs/other/items/alien"),
        row("catalogs/other", "d", item=f"{parent}/items/alien"),
    ]
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    second = [
        row(parent, "e", type=Interaction.TYPE_UNSPECIFIED),
        row(parent, "f", event_time=at(tomorrow)),
        row(parent, "g"),
    ]
    answer = await import_(mesh, parent, first, second)
    assert counts(answer) == (2, 0, 5)
    assert [(error.row, error.field) for error in answer.errors] == [
        *((1, "value"), (2, "item"), (3, "name"), (4, "type"), (5, "event_time")),
    ]
    assert answer.errors[0].resource == f"{parent}/interactions/b"
    names = {found.name for found in await listed(mesh, parent)}
    assert names == {f"{parent}/interactions/{id_}" for id_ in "ag"}


async def test_second_run_changes_nothing(mesh: Mesh, parent: str) -> None:
    rows = [
        row(parent, "named"),
        row(parent),
        row(parent, user=""),
        row(parent, event_time=at(WHEN)),
        row(parent, event_time=at(WHEN), type=Interaction.TYPE_RATING, value=4.5),
    ]
    assert counts(await import_(mesh, parent, rows)) == (5, 0, 0)
    before = await listed(mesh, parent)
    await mesh.events(parent)
    assert counts(await import_(mesh, parent, rows)) == (0, 5, 0)
    assert await listed(mesh, parent) == before
    assert await mesh.events(parent) == []


async def test_rows_that_differ_in_anything_are_two(mesh: Mesh, parent: str) -> None:
    rows = [
        row(parent),
        row(parent, user="other"),
        row(parent, item=f"{parent}/items/aliens"),
        row(parent, type=Interaction.TYPE_VIEW),
        row(parent, value=0),
        row(parent, event_time=at(WHEN)),
        row(parent, session="s"),
        row(parent, attribution_token="t"),
    ]
    assert counts(await import_(mesh, parent, rows)) == (8, 0, 0)


async def test_known_id_is_left_alone(mesh: Mesh, parent: str) -> None:
    rows = [row(parent, "one"), row(parent, "one", type=Interaction.TYPE_VIEW)]
    assert counts(await import_(mesh, parent, rows)) == (1, 1, 0)
    assert [found.type for found in await listed(mesh, parent)] == [Interaction.TYPE_LIKE]


async def test_row_without_a_person_is_the_callers(mesh: Mesh, parent: str) -> None:
    await import_(mesh, parent, [row(parent, user="")])
    assert [found.user for found in await listed(mesh, parent)] == ["ed"]


async def test_others_hear_of_what_is_new(mesh: Mesh, parent: str) -> None:
    await import_(mesh, parent, [row(parent, "a")])
    await mesh.events(parent)
    await import_(mesh, parent, [row(parent, "a"), row(parent, "b")])
    (event,) = await mesh.events(parent)
    assert isinstance(event, InteractionsWritten)
    assert [told.name for told in event.interactions] == [f"{parent}/interactions/b"]


async def test_first_message_without_a_parent(mesh: Mesh, parent: str) -> None:
    assert (
        await failure(import_(mesh, "", [row(parent)])) == "INVALID_ARGUMENT INVALID_FIELD parent"
    )
    assert await failure(import_(mesh, parent)) == "INVALID_ARGUMENT INVALID_FIELD parent"


async def test_unknown_catalog(mesh: Mesh) -> None:
    assert await failure(import_(mesh, "catalogs/none", [])) == "NOT_FOUND RESOURCE_NOT_FOUND"


async def test_users_import_nothing(mesh: Mesh, parent: str) -> None:
    call = import_(mesh, parent, [row(parent)], metadata=ANN)
    assert await failure(call) == "PERMISSION_DENIED ROLE_REQUIRED"


async def test_thousands_of_rows(mesh: Mesh, parent: str) -> None:
    rows = [
        row(parent, user=f"u{n % 600}", item=f"{parent}/items/f{n}", event_time=at(WHEN))
        for n in range(MANY)
    ]
    groups = [rows[n : n + IN_A_MESSAGE] for n in range(0, MANY, IN_A_MESSAGE)]
    assert counts(await import_(mesh, parent, *groups)) == (MANY, 0, 0)
    assert counts(await import_(mesh, parent, *groups)) == (0, MANY, 0)
