"""A read model that was damaged is found out and repaired, and recommendations follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import pytest

from recmesh_client import AsyncClient, Fallback, Interaction, InteractionType, Item, Result
from tests.conftest import LocalMesh
from tests.test_command_line import Recmesh, recmesh

__all__ = ["recmesh"]

pytestmark = pytest.mark.xdist_group("mesh")

CATALOG = "verified"
SECONDS = 120
LAMPS = ("lamp-red", "lamp-green", "lamp-blue", "lamp-white")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


async def damage(database: asyncpg.Connection) -> None:
    """One item is lost, one buried, one as it was, one that nobody has; and nobody did anything."""
    async with database.transaction():
        seq = await database.fetchval(
            "UPDATE recommender.index_states SET last_seq = last_seq + 4 WHERE catalog = $1 RETURNING last_seq",
            CATALOG,
        )
        here = "WHERE catalog = $1 AND item = $2"
        await database.execute(f"DELETE FROM recommender.item_index {here}", CATALOG, LAMPS[0])  # noqa: S608
        await database.execute(
            f"UPDATE recommender.item_index SET deleted = true, vector = NULL, seq = $3 {here}",  # noqa: S608
            CATALOG,
            LAMPS[1],
            seq - 2,
        )
        await database.execute(
            f"UPDATE recommender.item_index SET revision = 0, title = 'Old', seq = $3 {here}",  # noqa: S608
            CATALOG,
            LAMPS[2],
            seq - 1,
        )
        columns = await database.fetchval(
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns"
            " WHERE table_schema = 'recommender' AND table_name = 'item_index'"
            " AND column_name NOT IN ('item', 'seq', 'revision')"
        )
        await database.execute(
            f"INSERT INTO recommender.item_index (item, seq, revision, {columns})"  # noqa: S608
            f" SELECT 'ghost', $3, 999, {columns} FROM recommender.item_index {here}",
            CATALOG,
            LAMPS[3],
            seq,
        )
        for table in ("user_history", "item_likes"):
            await database.execute(f"DELETE FROM recommender.{table} WHERE catalog = $1", CATALOG)  # noqa: S608


async def test_a_damaged_read_model_is_repaired(
    admin: AsyncClient,
    local_mesh: LocalMesh,
    database: asyncpg.Connection,
    recmesh: Recmesh,
) -> None:
    items = [
        Item(name, name.replace("-", " ").title(), description="A lamp by the sea.")
        for name in LAMPS
    ]
    await admin.create_catalog(CATALOG)
    await admin.import_items(CATALOG, items)
    liked = Interaction(LAMPS[0], InteractionType.LIKE, user="ann")
    await admin.write_interaction(CATALOG, liked)

    async def answered(*expected: str) -> bool:
        return await _shown(admin) == set(expected)

    async def known() -> bool:
        answer = await admin.recommend(CATALOG, history=True, user="ann")
        return answer.fallback is Fallback.NONE

    async def as_before() -> bool:
        return {result.title for result in await _results(admin)} == {item.title for item in items}

    await until(lambda: answered(*LAMPS))
    await until(known)
    assert not (await admin.compare_index(CATALOG)).differing

    await damage(database)
    await until(lambda: answered(LAMPS[0], LAMPS[2], LAMPS[3], "ghost"))
    assert not await known()

    await recmesh(
        "login", "--email", local_mesh.admin.email, stdin=f"{local_mesh.admin.password}\n"
    )
    repaired = json.loads(await recmesh("admin", "verify", CATALOG, "--repair", "--json"))
    assert _counts(repaired["items"]) == (4, 2, 1, 1, 4)
    assert sorted(repaired["items"]["samples"]) == ["ghost", *sorted(LAMPS[:3])]
    assert _counts(repaired["interactions"]) == (1, 1, 0, 0, 1)
    await until(as_before)
    await until(known)
    assert "Nothing differs." in await recmesh("admin", "verify", CATALOG)
    await admin.delete_catalog(CATALOG, force=True)


async def _results(client: AsyncClient) -> Sequence[Result]:
    return (await client.recommend(CATALOG, text="a lamp by the sea", limit=10)).results


async def _shown(client: AsyncClient) -> set[str]:
    return {result.item for result in await _results(client)}


def _counts(found: dict[str, int]) -> tuple[int, ...]:
    return tuple(found[name] for name in ("checked", "missing", "stale", "surplus", "repaired"))
