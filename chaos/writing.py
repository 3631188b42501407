"""Changes of the catalog during a run: items made, changed, deleted and brought back, and what people did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from time import monotonic

from chaos.asking import CATALOG, PEOPLE
from chaos.world import World
from recmesh_client import Interaction, InteractionType, Item, RecmeshError

EVERY = 0.25
"""Seconds from one change to the next."""
_TRY_SECONDS = 4.0
_AT_ONCE = 20
_TYPES = (
    InteractionType.VIEW,
    InteractionType.LIKE,
    InteractionType.DISLIKE,
    InteractionType.BOOKMARK,
)


class Writing:
    """Writes.

    Args:
        world: What there is.
        seed: Of the run.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = Random(f"writing {seed}")  # noqa: S311 - the same each time
        self._began = datetime.now(UTC)
        self.done: Counter[str] = Counter()
        """How many changes there were of each kind."""
        self.errors: Counter[str] = Counter()
        """What calls were answered with instead, each time."""
        self.until = float("inf")
        """From when on nothing is tried any more, by the monotonic clock."""

    async def run(self, seconds: float) -> None:
        """One change after the other, for so long. A change of an item waits for the one before, so that all know which
        was the last.
        """
        until = monotonic() + seconds
        number = 0
        async with asyncio.TaskGroup() as group:
            items: asyncio.Queue[tuple[str, Callable[[], Awaitable[object]]] | None]
            items = asyncio.Queue(_AT_ONCE)
            group.create_task(self._in_turn(items), name="write items")
            while monotonic() < until:
                number += 1
                if number % 2:
                    await items.put(self._item_change(number))
                else:
                    await self._persist("interactions", self._happening(number))
                await asyncio.sleep(EVERY)
            await items.put(None)

    async def _in_turn(
        self, items: asyncio.Queue[tuple[str, Callable[[], Awaitable[object]]] | None]
    ) -> None:
        while (change := await items.get()) is not None:
            await self._persist(*change)

    async def _persist(self, what: str, write: Callable[[], Awaitable[object]]) -> None:
        """Tries until it is done."""
        while monotonic() < self.until:
            try:
                await write()
            except RecmeshError as error:
                self.errors[f"{type(error).__name__} {error.reason.name}"] += 1
                await asyncio.sleep(self._chance.uniform(0.2, 0.6))
            else:
                self.done[what] += 1
                return

    def _item_change(self, number: int) -> tuple[str, Callable[[], Awaitable[object]]]:
        admin, old = self._world.admin, self._chance.choice(self._world.changing)
        kind = self._chance.choices(("made", "changed", "deleted"), (2, 5, 2))[0]
        if kind == "deleted":
            return kind, lambda: admin.delete_item(
                CATALOG, old.id, allow_missing=True, timeout=_TRY_SECONDS
            )
        # One that was deleted comes back.
        item = replace(old, description=f"{old.description} Cut number {number}.")
        if kind == "made":
            item = Item(f"made-{number}", f"Made up {number}", description=old.description)
        return kind, lambda: admin.update_item(
            CATALOG, item, fields=("*",), allow_missing=True, timeout=_TRY_SECONDS
        )

    def _happening(self, number: int) -> Callable[[], Awaitable[object]]:
        chance = self._chance
        items = (*self._world.fixed, *self._world.changing)
        one = Interaction(
            chance.choice(items).id,
            chance.choice(_TYPES),
            user=f"person-{chance.randrange(PEOPLE)}",
            # Not in the order in which they are written.
            event_time=self._began + timedelta(seconds=chance.uniform(-3600, 0)),
            id=f"during-{number}",
        )
        return lambda: self._world.admin.write_interaction(CATALOG, one, timeout=_TRY_SECONDS)
