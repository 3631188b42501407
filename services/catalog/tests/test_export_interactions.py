import time
from datetime import UTC, datetime

import grpc
import pytest
from sqlalchemy import text

from recmesh.catalog.v1.interaction_service_pb2 import (
    ExportInteractionsRequest,
    ExportInteractionsResponse,
)
from recmesh_kit import paging
from services.catalog.tests.conftest import ANN, EDITOR, Mesh, Metadata
from services.catalog.tests.test_import_interactions import import_, row

MANY = 1200


async def export(
    mesh: Mesh, parent: str, token: str = "", metadata: Metadata = EDITOR
) -> list[ExportInteractionsResponse]:
    request = ExportInteractionsRequest(parent=parent, resume_token=token)
    stream = mesh.interactions.ExportInteractions(request, metadata=metadata)
    return [answer async for answer in stream]


async def until(
    mesh: Mesh, parent: str, wanted: set[str], token: str = ""
) -> list[ExportInteractionsResponse]:
    """Exports again until these are told: other tests' transactions may hold them back for a moment."""
    answers: list[ExportInteractionsResponse] = []
    end = time.monotonic() + 300
    while time.monotonic() < end:
        answers += await export(mesh, parent, answers[-1].resume_token if answers else token)
        if wanted <= set(ids(answers)):
            return answers
    raise AssertionError(wanted - set(ids(answers)))


def ids(answers: list[ExportInteractionsResponse]) -> list[str]:
    return [one.name.rpartition("/")[2] for answer in answers for one in answer.interactions]


async def refused(
    mesh: Mesh, parent: str, token: str = "", metadata: Metadata = EDITOR
) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(mesh, parent, token, metadata)
    return caught.value.code()


async def test_everything_in_the_order_of_writing(mesh: Mesh, parent: str) -> None:
    for one in "cab":
        await import_(mesh, parent, [row(parent, one, event_time=None)])
    assert ids(await until(mesh, parent, {"a", "b", "c"})) == ["c", "a", "b"]


async def test_goes_on_from_any_message_of_a_broken_stream(mesh: Mesh, parent: str) -> None:
    rows = [row(parent, f"i{n:04}") for n in range(MANY)]
    await import_(mesh, parent, rows[:700], rows[700:])
    wanted = {f"i{n:04}" for n in range(MANY)}
    answers = await until(mesh, parent, wanted)
    assert sorted(ids(answers)) == sorted(wanted)
    assert max(len(answer.interactions) for answer in answers) < MANY
    rest = await until(mesh, parent, wanted - set(ids(answers[:1])), answers[0].resume_token)
    assert sorted([*ids(answers[:1]), *ids(rest)]) == sorted(wanted)


async def test_slow_transaction_is_not_missed(mesh: Mesh, parent: str) -> None:
    catalog = parent.partition("/")[2]
    slow = text(
        'INSERT INTO interactions (catalog, id, "user", item, type, event_time, session, '
        "attribution_token) VALUES (:catalog, 'slow', 'u', 'i', 'LIKE', now(), '', '')"
    )
    async with mesh.database.transaction() as session:
        await session.execute(slow, {"catalog": catalog})
        began = datetime.now(UTC)
        await import_(mesh, parent, [row(parent, "quick")])
        answers = await export(mesh, parent)
        assert ids(answers) == []
        assert answers[-1].complete_until.ToDatetime(UTC) <= began
    rest = await until(mesh, parent, {"slow", "quick"}, answers[-1].resume_token)
    assert ids(rest) == ["slow", "quick"]


async def test_only_the_last_message_says_until_when(mesh: Mesh, parent: str) -> None:
    rows = [row(parent, f"i{n:04}") for n in range(MANY)]
    await import_(mesh, parent, rows[:700], rows[700:])
    await until(mesh, parent, {f"i{n:04}" for n in range(MANY)})
    *before, last = await export(mesh, parent)
    assert before
    assert not any(answer.HasField("complete_until") for answer in before)
    assert last.HasField("complete_until")


@pytest.mark.parametrize("cursor", [["x", "a"], ["9" * 30, "a"], ["1"]])
async def test_token_that_nobody_gave(mesh: Mesh, parent: str, cursor: list[str]) -> None:
    token = paging.encode(cursor, "ExportInteractions", parent)
    assert await refused(mesh, parent, token) is grpc.StatusCode.INVALID_ARGUMENT


async def test_unknown_catalog(mesh: Mesh) -> None:
    assert await refused(mesh, "catalogs/none") is grpc.StatusCode.NOT_FOUND


async def test_users_export_nothing(mesh: Mesh, parent: str) -> None:
    assert await refused(mesh, parent, metadata=ANN) is grpc.StatusCode.PERMISSION_DENIED
