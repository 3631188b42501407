"""What people do into the read model: their histories, and the popularity that comes of them. It does not wait for the
encoder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_jobs.history_repository import Happened, HistoryRepository
from recmesh_jobs.popularity_repository import PopularityRepository
from recmesh_kit.broker import Delivery
from recmesh_kit.database import Database
from recmesh_worker.applying import apply_batch
from recmesh_worker.changes import Happenings

log = structlog.get_logger()

PEOPLE = 50
"""People whose histories are merged in one statement. All that is kept of them is read and sorted, whoever did how
little now, and a statement has its limit."""
LIKES = 4_000
"""Likes that are counted in one transaction."""


class CatalogSource(Protocol):
    """Where catalogs are read."""

    async def create_time(self, catalog: str) -> datetime | None:
        """When this catalog was made; None when there is no such catalog.

        Raises:
            Unavailable: It does not answer.
        """
        ...


class Historian:
    """Handles batches of messages of the exchange `catalog.events`.

    Args:
        database: Where the read model is.
        source: Says whether a catalog is there again.
        encoder: Id of an encoder whose items are written there.
    """

    def __init__(self, database: Database, source: CatalogSource, encoder: str) -> None:
        self._database = database
        self._source = source
        self._encoder = encoder

    async def handle(self, deliveries: list[Delivery]) -> None:
        """One batch, acknowledged once it is in the read model."""
        again = any(delivery.redelivered for delivery in deliveries)
        await apply_batch(deliveries, Happenings, partial(self._apply, again=again))

    async def _apply(self, changes: Happenings, *, again: bool) -> None:
        if again:
            await self._leave_out_what_is_over(changes)
        for catalog, happened in changes.happened.items():
            for some in _some_people(happened):
                async with self._database.transaction() as session:
                    await HistoryRepository(session).add(catalog, some)
        # In transactions of their own: they wait for who writes items, the histories for nobody.
        for catalog, likes in changes.likes.items():
            told = list(likes.items())
            for start in range(0, len(told), LIKES):
                async with self._database.transaction() as session:
                    popularity = PopularityRepository(session, self._encoder)
                    await popularity.add(catalog, dict(told[start : start + LIKES]))
        # At last: what was told before the deletion goes with it, and what was written since is spared.
        for catalog in changes.deleted:
            await self._bury(catalog)

    async def _leave_out_what_is_over(self, changes: Happenings) -> None:
        """Takes out what happened in catalogs that are gone: what comes again may come after their burial."""
        for catalog, happened in changes.happened.items():
            since = await self._source.create_time(catalog)
            likes = changes.likes[catalog]
            if since is None:
                happened.clear()
                likes.clear()
                continue
            happened[:] = [one for one in happened if one.write_time >= since]
            changes.likes[catalog] = {like: at for like, at in likes.items() if at >= since}

    async def _bury(self, catalog: str) -> None:
        """Forgets what happened in a catalog that is gone. One of the same name may be there again by now: what was
        written since it was made stays.

        It may hold millions of events: some are forgotten in each transaction.
        """
        last: str | None = ""
        while last is not None:
            async with self._alone(catalog) as (session, since):
                last = await HistoryRepository(session).bury(catalog, since, after=last)
        more = True
        while more:
            async with self._alone(catalog) as (session, since):
                more = await PopularityRepository(session, self._encoder).bury(catalog, since)
        log.info("histories buried", catalog=catalog)

    @asynccontextmanager
    async def _alone(self, catalog: str) -> AsyncIterator[tuple[AsyncSession, datetime | None]]:
        """A transaction in which nobody else adds to the catalog, and when that was made, if it is there."""
        async with self._database.transaction() as session:
            await HistoryRepository(session).hold_alone(catalog)
            yield session, await self._source.create_time(catalog)


def _some_people(happened: Iterable[Happened]) -> Iterator[list[Happened]]:
    """All of it, so many people at once."""
    by_person: defaultdict[str, list[Happened]] = defaultdict(list)
    for one in happened:
        by_person[one.person].append(one)
    told = list(by_person.values())
    for start in range(0, len(told), PEOPLE):
        yield [one for some in told[start : start + PEOPLE] for one in some]
