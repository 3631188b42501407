"""How soon what was written counts. Meant: an interaction within 2 seconds, an item within 3; the time that it took is
printed and recorded, and only a wait without end fails.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from demo.data import CATALOG
from recmesh_client import AsyncClient, Fallback, Interaction, InteractionType, Item

pytestmark = pytest.mark.xdist_group("mesh")

MOST_SECONDS = 300
POLL_SECONDS = 0.02
Record = Callable[[str, object], None]

WHALE = Item(
    "whale",
    "The Lighthouse Keeper's Whale",
    genres=["Fantasy"],
    description="A lonely lighthouse keeper befriends a singing whale that only he can hear.",
)


async def seconds_until(holds: Callable[[], Awaitable[bool]]) -> float:
    began = time.monotonic()
    async with asyncio.timeout(MOST_SECONDS):
        while True:
            if await holds():
                break
            await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - began


async def test_a_new_item_is_served_and_a_deleted_one_is_not(
    admin: AsyncClient, record_property: Record
) -> None:
    async def served() -> bool:
        answer = await admin.recommend(
            CATALOG, text="lighthouse keeper and a singing whale", limit=3
        )
        return WHALE.id in {result.item for result in answer.results}

    async def gone() -> bool:
        return not await served()

    await admin.create_item(CATALOG, WHALE)
    _note(record_property, "new_item_seconds", await seconds_until(served))
    await admin.delete_item(CATALOG, WHALE.id)
    _note(record_property, "deleted_item_seconds", await seconds_until(gone))


async def test_an_interaction_counts(admin: AsyncClient, record_property: Record) -> None:
    async def known() -> bool:
        answer = await admin.recommend(CATALOG, history=True, user="newcomer", limit=3)
        return answer.fallback is Fallback.NONE

    async def seen() -> bool:
        answer = await admin.recommend(CATALOG, item="aliens-1986", user="newcomer")
        return "alien-1979" not in {result.item for result in answer.results}

    assert not await known()
    assert not await seen()
    like = Interaction("alien-1979", InteractionType.LIKE, user="newcomer")
    await admin.write_interaction(CATALOG, like)
    _note(record_property, "interaction_in_history_seconds", await seconds_until(known))
    _note(record_property, "interaction_in_seen_seconds", await seconds_until(seen))


def _note(record_property: Record, name: str, seconds: float) -> None:
    record_property(name, round(seconds, 3))
    print(f"{name}: {seconds:.3f}")  # noqa: T201 - shown by pytest -rP
