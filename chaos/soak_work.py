"""What callers do all day, in the shares in which a soak does it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from bench.harness.calling import CATALOG
from bench.harness.data import Data
from recmesh_client import (
    AsyncClient,
    FailedPrecondition,
    Interaction,
    InteractionType,
    Item,
    Order,
    Query,
    QueryFields,
    RecmeshError,
    Recommendation,
    State,
)

PEOPLE = 200
"""Ids without an account: few, so that what is stored of each is soon as long as it gets."""
WRITTEN_ITEMS = 50
BATCH = 10
MOST_AT_ONCE = 1_000
"""Calls on the way; more do not begin."""
_TIMEOUT_SECONDS = 60.0
_PATIENCE_SECONDS = (0.0, 0.05)
_TYPES = (InteractionType.VIEW, InteractionType.LIKE, InteractionType.CLICK)
_KEPT = 100
Call = Callable[[], Awaitable[object]]
_SEEDS = {"item": 40, "title": 25, "history": 20, "items": 10, "text": 5}
"""What queries start from, and in which shares."""


class Work:
    """Calls a mesh.

    Args:
        client: Its admin.
        data: What is asked about.
        seed: What is done is drawn from it.
    """

    def __init__(self, client: AsyncClient, data: Data, seed: int) -> None:
        self._client = client
        self._data = data
        self._chance = random.Random(seed)  # noqa: S311 - what is asked, no secret
        self._answered: deque[Recommendation] = deque(maxlen=_KEPT)
        self._shares: dict[Call, int] = {
            self._recommend: 44,
            self._create_and_watch: 14,
            self._batch: 2,
            self._get: 8,
            self._list: 3,
            self._continue: 6,
            self._cancel: 5,
            self._leave: 3,
            self._interact: 12,
            self._write_item: 3,
        }
        self.accepted: set[UUID] = set()
        """The jobs whose names callers were told."""
        self.done: Counter[str] = Counter()
        """Calls that ended well, by what they were."""
        self.errors: Counter[str] = Counter()
        """Those that did not, by what they were and why."""
        self.skipped = 0
        """Calls that did not begin, as too many were on the way."""

    async def keep(self, callers: int, seconds: float) -> float:
        """So many callers, one call after the other, each at least one; answers how many calls ended in a second."""
        until = time.monotonic() + seconds
        before = self.done.total()

        async def caller() -> None:
            await self._one(self._drawn())
            while time.monotonic() < until:
                await self._one(self._drawn())

        await asyncio.gather(*(caller() for _ in range(callers)))
        return (self.done.total() - before) / seconds

    async def come(self, rate: float, seconds: float) -> None:
        """So many calls a second, evenly spaced, however long they take, and one of each kind before others are drawn;
        returns when the last has ended.
        """
        began = time.monotonic()
        kinds = iter(self._shares)
        async with asyncio.TaskGroup() as group:
            on_the_way: set[asyncio.Task[None]] = set()
            for turn in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, began + turn / rate - time.monotonic()))
                if len(on_the_way) >= MOST_AT_ONCE:
                    self.skipped += 1
                    continue
                task = group.create_task(self._one(next(kinds, None) or self._drawn()))
                on_the_way.add(task)
                task.add_done_callback(on_the_way.discard)

    def _drawn(self) -> Call:
        (what,) = self._chance.choices(list(self._shares), list(self._shares.values()))
        return what

    async def _one(self, what: Call) -> None:
        name = what.__name__.removeprefix("_")
        try:
            await what()
        except RecmeshError as error:
            # A job that lives on is accepted, too.
            if error.recommendation:
                self._accept(error.recommendation.rpartition("/")[2])
            self.errors[f"{name}: {type(error).__name__} {error.reason}"] += 1
        else:
            self.done[name] += 1

    async def _recommend(self) -> None:
        self._keep(
            await self._client.recommend(
                CATALOG, user=self._person(), timeout=_TIMEOUT_SECONDS, **self._asked()
            )
        )

    async def _create_and_watch(self) -> None:
        created = await self._create()
        async for seen in self._client.watch(created, timeout=_TIMEOUT_SECONDS):
            created = seen
        self._keep(created)

    async def _batch(self) -> None:
        orders = [Order(Query(**self._asked()), self._person()) for _ in range(BATCH)]
        batch = await self._client.batch_create_recommendations(CATALOG, orders)
        for job in batch.recommendations:
            self._accept(job.id)

    async def _get(self) -> None:
        if self._answered:
            await self._client.get_recommendation(self._chance.choice(self._answered))

    async def _list(self) -> None:
        pages = self._client.list_recommendations(CATALOG, user=self._person(), page_size=20)
        await anext(aiter(pages.pages()))

    async def _continue(self) -> None:
        if self._answered:
            self._keep(await self._client.recommend_again(self._chance.choice(self._answered)))

    async def _cancel(self) -> None:
        created = await self._create()
        # It may have ended already.
        with suppress(FailedPrecondition):
            await self._client.cancel_recommendation(created)

    async def _leave(self) -> None:
        """Asks, and goes away before the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._chance.uniform(*_PATIENCE_SECONDS)):
                await self._recommend()

    async def _interact(self) -> None:
        await self._client.write_interaction(
            CATALOG,
            Interaction(
                user=self._person(),
                item=self._chance.choice(self._data.ids),
                type=self._chance.choice(_TYPES),
            ),
        )

    async def _write_item(self) -> None:
        number = self._chance.randrange(WRITTEN_ITEMS)
        item = Item(
            id=f"soak-{number}",
            title=f"Soak {number}",
            description=f"Written {self._chance.randrange(10**6)} times.",
        )
        await self._client.update_item(CATALOG, item, allow_missing=True)

    async def _create(self) -> Recommendation:
        created = await self._client.create_recommendation(
            CATALOG, user=self._person(), **self._asked()
        )
        self._accept(created.id)
        return created

    def _keep(self, job: Recommendation) -> None:
        self._accept(job.id)
        # To the end of the catalog is long, and the chain of what was shown grows with it.
        if job.state is State.SUCCEEDED and not job.continues:
            self._answered.append(job)

    def _accept(self, job: str) -> None:
        self.accepted.add(UUID(job))

    def _person(self) -> str:
        return f"soak-{self._chance.randrange(PEOPLE)}"

    def _asked(self) -> QueryFields:
        pick = self._chance.choice
        place = self._chance.randrange(len(self._data.ids))
        match self._chance.choices(list(_SEEDS), list(_SEEDS.values())):
            case ["item"]:
                return {"item": self._data.ids[place]}
            case ["title"]:
                return {"title": self._data.titles[place]}
            case ["history"]:
                return {"history": True}
            case ["items"]:
                return {"items": [pick(self._data.ids) for _ in range(3)]}
            case _:
                return {"text": f"a tale of {self._data.titles[place]}"}
