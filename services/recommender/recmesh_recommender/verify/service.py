"""The rules of a comparison: what is compared in which order, and how many at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

import structlog

from recmesh_kit.database import Database
from recmesh_recommender.verify.errors import AlreadyComparing
from recmesh_recommender.verify.findings import Deed, ItemPage, Progress
from recmesh_recommender.verify.interactions import DeedTeller, InteractionComparison
from recmesh_recommender.verify.items import ItemComparison, ItemTeller, RevisionSource
from recmesh_recommender.verify.patience import SETTLE_SECONDS, Patience

log = structlog.get_logger()

TELL_EVERY = 2_000
"""So many things are compared between two words about how far it is."""


class CatalogSource(RevisionSource, Protocol):
    """The catalog, read as a whole."""

    def all_items(self, catalog: str) -> AsyncGenerator[ItemPage]:
        """All items, in the order of their revisions. Raises NotFound, Unavailable."""
        ...

    def all_interactions(self, catalog: str) -> AsyncGenerator[Sequence[Deed]]:
        """All interactions, in the order of writing. Raises NotFound, Unavailable."""
        ...


class Teller(ItemTeller, DeedTeller, Protocol):
    """Where what the read model lacks is told once more."""

    def check(self) -> None:
        """Raises Unavailable when nothing can be told at present."""
        ...


class Verifier:
    """Compares the read model of a catalog with the catalog, one at a time.

    Args:
        database: Where the read model is.
        source: The catalog.
        teller: Has it repaired.
        settle_seconds: How long what is on its way is waited for.
    """

    def __init__(
        self,
        database: Database,
        source: CatalogSource,
        teller: Teller,
        *,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._database = database
        self._source = source
        self._teller = teller
        self._settle_seconds = settle_seconds
        self._busy = False

    async def verify(self, catalog: str, *, repair: bool) -> AsyncGenerator[Progress]:
        """Compares, and says now and then how far it is; at last that it is done.

        Content that is wrong at the right revision does not show, and neither do events of a history that the catalog
        does not have.

        Args:
            catalog: Id of the catalog.
            repair: Have repaired what differs.

        Raises:
            AlreadyComparing: It is comparing for somebody else.
            NotFound: There is no such catalog.
            Unavailable: The database or the catalog service is away, or, when it is needed, the broker.
        """
        if self._busy:
            raise AlreadyComparing
        self._busy = True
        try:
            if repair:
                self._teller.check()
            progress = Progress()
            told = 0
            async with aclosing(self._compare(catalog, progress, repair=repair)) as steps:
                async for _ in steps:
                    checked = progress.items.checked + progress.interactions.checked
                    if checked - told >= TELL_EVERY:
                        told = checked
                        yield progress
            progress.done = True
            log.info("index compared", catalog=catalog, repair=repair, **_facts(progress))
            yield progress
        finally:
            self._busy = False

    async def _compare(
        self, catalog: str, progress: Progress, *, repair: bool
    ) -> AsyncGenerator[None]:
        patience = Patience(self._settle_seconds)
        teller = self._teller if repair else None
        items = ItemComparison(
            catalog, self._database, self._source, patience, progress.items, teller
        )
        await items.begin()
        async with aclosing(self._source.all_items(catalog)) as item_pages:
            async for page in item_pages:
                await items.take(page.items, page.revision)
                yield
        await items.finish()
        yield
        interactions = InteractionComparison(
            catalog, self._database, patience, progress.interactions, teller
        )
        async with aclosing(self._source.all_interactions(catalog)) as deed_pages:
            async for deeds in deed_pages:
                await interactions.take(deeds)
                yield
        await interactions.finish()


def _facts(progress: Progress) -> dict[str, int]:
    return {
        f"{name}_{count}": getattr(finding, count)
        for name, finding in (("items", progress.items), ("interactions", progress.interactions))
        for count in ("checked", "missing", "stale", "surplus", "repaired")
    }
