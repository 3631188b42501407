"""Interactions: people's histories and the likes of items held against what the catalog was told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from recmesh_jobs.verify_repository import VerifyRepository
from recmesh_kit.database import Database
from recmesh_recommender.verify.findings import Deed, Difference, Finding
from recmesh_recommender.verify.patience import Patience

MOST_SUSPECTS = 500
"""Interactions that are looked at once more together."""
PEOPLE = 250
"""People whose histories are read in one statement: all that is kept of them, whoever did how little. With full
histories that takes about a second."""


class DeedTeller(Protocol):
    """Where interactions are told once more."""

    async def interactions(self, catalog: str, deeds: Sequence[Deed]) -> None:
        """Tells of interactions. Raises Unavailable."""
        ...


class InteractionComparison:
    """Compares the interactions of one catalog, of which it holds few at a time.

    Args:
        catalog: Id of the catalog.
        database: Where the read model is.
        patience: How long what is on its way is waited for.
        finding: Where it is counted.
        teller: Tells what is lacking once more; None to leave it.
    """

    def __init__(
        self,
        catalog: str,
        database: Database,
        patience: Patience,
        finding: Finding,
        teller: DeedTeller | None,
    ) -> None:
        self._catalog = catalog
        self._database = database
        self._patience = patience
        self._finding = finding
        self._teller = teller
        self._suspects: list[Deed] = []

    async def take(self, deeds: Sequence[Deed]) -> None:
        """Compares some interactions of the catalog."""
        self._suspects += [deed for deed, _ in await self._lacking(deeds)]
        self._finding.checked += len(deeds)
        if len(self._suspects) >= MOST_SUSPECTS:
            await self._settle()

    async def finish(self) -> None:
        """Settles what is open, once all that the catalog has was taken."""
        await self._settle()

    async def _settle(self) -> None:
        """Looks at the suspects once more, and takes note of those that are lacking still."""
        if not self._suspects:
            return
        lacking: list[tuple[Deed, Difference]] = []

        async def look() -> bool:
            nonlocal lacking
            lacking = await self._lacking(self._suspects)
            self._suspects = [deed for deed, _ in lacking]
            return bool(lacking)

        if await look():
            newest = max(deed.happened.write_time.timestamp() for deed in self._suspects)
            await self._patience.settle(look, newest)
        self._suspects = []
        for kind in (Difference.MISSING, Difference.STALE):
            self._finding.count(kind, [deed.id for deed, found in lacking if found is kind])
        if self._teller is not None and lacking:
            await self._teller.interactions(self._catalog, [deed for deed, _ in lacking])
            self._finding.repaired += len(lacking)

    async def _lacking(self, deeds: Sequence[Deed]) -> list[tuple[Deed, Difference]]:
        lacking: list[tuple[Deed, Difference]] = []
        for some in _some_people(deeds):
            async with self._database.transaction() as session:
                repository = VerifyRepository(session, self._catalog)
                found = await repository.lacking([deed.happened for deed in some])
            lacking += [
                (some[place], Difference.STALE if earlier else Difference.MISSING)
                for place, earlier in sorted(found.items())
            ]
        return lacking


def _some_people(deeds: Sequence[Deed]) -> Iterator[list[Deed]]:
    """All of them, of so many people at once."""
    some: list[Deed] = []
    people: set[str] = set()
    for deed in deeds:
        if len(people) == PEOPLE and deed.happened.person not in people:
            yield some
            some, people = [], set()
        some.append(deed)
        people.add(deed.happened.person)
    if some:
        yield some
