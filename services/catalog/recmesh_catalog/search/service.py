"""The rules of searching."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from recmesh_catalog.catalogs.access import require_readable
from recmesh_catalog.items.item import Item
from recmesh_catalog.items.repository import ItemRepository
from recmesh_catalog.search.common import CommonGrams
from recmesh_catalog.search.ranking import Key, rank
from recmesh_catalog.search.repository import TitleRepository
from recmesh_catalog.search.titles import codes, shortened
from recmesh_kit.database import Database
from recmesh_kit.filters.tree import Condition
from recmesh_kit.principal import Principal
from recmesh_kit.text import normalise, split_year

Place = tuple[float, str, str]
"""Of an item in the listing by rating: its rating (negative), the beginning of its title, its id."""


@dataclass(frozen=True, slots=True)
class Found:
    """An item that was found.

    Attributes:
        item: The item.
        score: How well its title fits, in [0, 1]; 0 when nothing was asked for.
        title: The title that fits; empty when nothing was asked for.
    """

    item: Item
    score: float = 0.0
    title: str = ""


class SearchService:
    """Finds items by title.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._common = CommonGrams()

    async def search(
        self,
        principal: Principal,
        catalog: str,
        query: str,
        condition: Condition | None,
        after: Key | None,
        size: int,
    ) -> tuple[list[Found], Key | None]:
        """A page of what the caller may see of what fits, and where the next one starts (None: at the end).

        At most some 160 items fit a query: what is less like it than those is not looked at.

        Args:
            principal: Who is calling. To a plain user hidden items are not there.
            catalog: The catalog's id.
            query: What was typed; not blank.
            condition: What else must be true of an item; None for nothing.
            after: Where the page before ended; None for the first page.
            size: The most to answer.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
        """
        title, year = split_year(query.strip())
        form = shortened(normalise(title))
        grams = codes(catalog, form)
        async with self._database.transaction() as session:
            await require_readable(session, catalog, principal)
            above = principal.is_above_user(catalog)
            titles = TitleRepository(session, catalog)
            rare = await self._common.rarest(titles, grams)
            candidates = await titles.candidates(form, grams, rare, condition, with_hidden=above)
            hits = await asyncio.to_thread(rank, form, year, candidates, after)
            page = hits[:size]
            repository = ItemRepository(session, catalog)
            items = await repository.find([hit.item for hit in page], with_hidden=above)
        found = [Found(items[hit.item], hit.score, hit.title) for hit in page if hit.item in items]
        return found, page[-1].key if len(hits) > size else None

    async def best(
        self,
        principal: Principal,
        catalog: str,
        condition: Condition | None,
        after: Place | None,
        size: int,
    ) -> tuple[list[Found], Place | None]:
        """A page of the items that the caller may see, the best rated first, and where the next one starts.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
        """
        async with self._database.transaction() as session:
            await require_readable(session, catalog, principal)
            above = principal.is_above_user(catalog)
            titles = TitleRepository(session, catalog)
            places = await titles.best_rated(condition, after, size + 1, with_hidden=above)
            page = places[:size]
            repository = ItemRepository(session, catalog)
            items = await repository.find([item for _, _, item in page], with_hidden=above)
        found = [Found(items[item]) for _, _, item in page if item in items]
        return found, page[-1] if len(places) > size else None
