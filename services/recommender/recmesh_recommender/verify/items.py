"""Items: the read model of each encoder held against the catalog, by revision."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from recmesh_jobs.verify_repository import Standing, VerifyRepository
from recmesh_kit.database import Database
from recmesh_recommender.verify.findings import CatalogItem, Difference, Finding, ItemChange
from recmesh_recommender.verify.patience import Patience

MOST_SUSPECTS = 500
"""Items that are looked at once more together."""
PAGE = 500
"""Items of the read model that are looked up in the catalog together."""

Standings = Mapping[str, Mapping[str, Standing]]
"""How items stand, by encoder and id."""


class RevisionSource(Protocol):
    """Where single items are read."""

    async def items(self, catalog: str, ids: Collection[str]) -> Mapping[str, CatalogItem]:
        """Those of these items that are in the catalog, by id. Raises NotFound, Unavailable."""
        ...


class ItemTeller(Protocol):
    """Where changes are told once more."""

    async def items(self, catalog: str, changes: Collection[ItemChange]) -> None:
        """Tells of changes. Raises Unavailable."""
        ...


class ItemComparison:
    """Compares the items of one catalog, of which it holds few at a time.

    What differs at first sight is looked at once more, and counts then: the catalog goes on changing.

    Args:
        catalog: Id of the catalog.
        database: Where the read model is.
        source: The catalog.
        patience: How long what is on its way is waited for.
        finding: Where it is counted.
        teller: Tells what differs once more; None to leave it.
    """

    def __init__(
        self,
        catalog: str,
        database: Database,
        source: RevisionSource,
        patience: Patience,
        finding: Finding,
        teller: ItemTeller | None,
    ) -> None:
        self._catalog = catalog
        self._database = database
        self._source = source
        self._patience = patience
        self._finding = finding
        self._teller = teller
        self._encoders: list[str] = []
        self._suspects: dict[str, float] = {}
        self._told_up_to = 0

    async def begin(self) -> None:
        """Finds out which encoders there are."""
        async with self._database.transaction() as session:
            self._encoders = await VerifyRepository(session, self._catalog).encoders()

    async def take(self, items: Collection[CatalogItem], revision: int) -> None:
        """Compares some items of the catalog.

        Args:
            items: The items.
            revision: Everything up to this revision of the catalog has been taken with them.
        """
        standings = await self._standings([item.id for item in items])
        for item in items:
            if self._difference(item, item.id, standings) is not None:
                self._suspects[item.id] = item.update_time
        self._told_up_to = revision
        self._finding.checked += len(items)
        if len(self._suspects) >= MOST_SUSPECTS:
            await self._settle()

    async def finish(self) -> None:
        """Looks for what the catalog does not have, once all that it has was taken, and settles what is open."""
        for encoder in self._encoders:
            last = ""
            while page := await self._living(encoder, last):
                known = await self._source.items(self._catalog, page)
                self._suspects |= {item: math.inf for item in page if item not in known}
                last = page[-1]
                if len(self._suspects) >= MOST_SUSPECTS:
                    await self._settle()
        await self._settle()

    async def _settle(self) -> None:
        """Looks at the suspects once more, and takes note of those that differ still."""
        if not self._suspects:
            return
        there: Mapping[str, CatalogItem] = {}
        standings: Standings = {}
        open_: dict[str, Difference] = {}

        async def look() -> bool:
            nonlocal there, standings, open_
            suspects = list(self._suspects)
            # In this order: what was indexed in between makes no difference.
            there = await self._source.items(self._catalog, suspects)
            standings = await self._standings(suspects)
            found = (
                (item, self._difference(there.get(item), item, standings)) for item in suspects
            )
            open_ = {item: kind for item, kind in found if kind is not None}
            self._suspects = {item: self._suspects[item] for item in open_}
            return bool(open_)

        if await look():
            # Of what went nobody knows when: it may have been a moment ago.
            newest = max(
                math.inf if kind is Difference.SURPLUS else self._suspects[item]
                for item, kind in open_.items()
            )
            await self._patience.settle(look, newest)
        self._suspects = {}
        by_kind: defaultdict[Difference, list[str]] = defaultdict(list)
        for item, kind in open_.items():
            by_kind[kind].append(item)
        for kind, items in by_kind.items():
            self._finding.count(kind, items)
        if self._teller is not None and open_:
            await self._tell(
                self._teller, list(_changes(open_, there, self._told_up_to)), standings
            )

    async def _tell(
        self, teller: ItemTeller, changes: Collection[ItemChange], standings: Standings
    ) -> None:
        # An indexer passes over what it knows at this revision or a later one: a tombstone of the same revision, or
        # what a catalog that was restored from a backup has never heard of.
        for encoder, known in standings.items():
            ahead = {
                change.item: change.revision
                for change in changes
                if change.item in known and known[change.item].revision >= change.revision
            }
            if ahead:
                async with self._database.transaction() as session:
                    await VerifyRepository(session, self._catalog).forget_revisions(encoder, ahead)
        await teller.items(self._catalog, changes)
        self._finding.repaired += len(changes)

    def _difference(
        self, there: CatalogItem | None, item: str, standings: Standings
    ) -> Difference | None:
        """How an item differs, for whichever encoder it differs most."""
        kinds = {_difference(there, standings[encoder].get(item)) for encoder in self._encoders}
        if not self._encoders:
            kinds = {_difference(there, None)}
        return next((kind for kind in Difference if kind in kinds), None)

    async def _standings(self, items: Collection[str]) -> Standings:
        async with self._database.transaction() as session:
            repository = VerifyRepository(session, self._catalog)
            return {
                encoder: await repository.standings(encoder, items) for encoder in self._encoders
            }

    async def _living(self, encoder: str, last: str) -> list[str]:
        async with self._database.transaction() as session:
            return await VerifyRepository(session, self._catalog).living_after(encoder, last, PAGE)


def _difference(there: CatalogItem | None, here: Standing | None) -> Difference | None:
    living = here is not None and here.living
    if there is None:
        return Difference.SURPLUS if living else None
    if here is None or not living:
        return Difference.MISSING
    same = here.revision == there.revision and here.embedded
    return None if same else Difference.STALE


def _changes(
    items: Mapping[str, Difference], there: Mapping[str, CatalogItem], revision: int
) -> Iterator[ItemChange]:
    for item in items:
        known = there.get(item)
        if known is None:
            # It was not there when the catalog was at this revision: should it be made again, then at a higher one.
            yield ItemChange(item, revision, deleted=True)
        else:
            yield ItemChange(item, known.revision, deleted=False)
