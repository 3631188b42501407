"""The SQL of titles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Float,
    Select,
    Text,
    cast,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_catalog.items.filtering import COLUMNS
from recmesh_catalog.items.item import Item
from recmesh_catalog.models import BEST_FIRST, SCHEMA, TITLE_BEGINNING, items, titles
from recmesh_catalog.search.candidates import candidates
from recmesh_catalog.search.ranking import Candidate
from recmesh_catalog.search.replace import replace_titles
from recmesh_catalog.search.titles import codes, titles_of
from recmesh_kit.filters import sql
from recmesh_kit.filters.tree import Condition

_LAST = "\U0010ffff"
"""Sorts behind every other character."""


class TitleRepository:
    """Titles of one catalog, within one transaction. Whoever writes has locked the catalog."""

    def __init__(self, session: AsyncSession, catalog: str) -> None:
        self._session = session
        self._catalog = catalog

    async def write(self, changed: Sequence[Item]) -> None:
        """Makes the titles of items what the items say."""
        if not changed:
            return
        # A thousand items take a while: other calls go on meanwhile.
        rows = await asyncio.to_thread(_rows, self._catalog, changed)
        await self._session.execute(
            replace_titles(),
            {"catalog": self._catalog, "items": [item.id for item in changed], "rows": rows},
        )

    async def delete(self, item: str) -> None:
        """Forgets the titles of an item."""
        await self._session.execute(
            delete(titles).where(titles.c.catalog == self._catalog, titles.c.item == item)
        )

    async def analyse(self) -> None:
        """Has PostgreSQL tidy the index and gather its statistics, unless somebody is at it."""
        tidy = func.gin_clean_pending_list(cast(f"{SCHEMA}.ix_titles_grams", REGCLASS))
        await self._session.execute(select(tidy))
        await self._session.execute(text(f"ANALYZE (SKIP_LOCKED) {SCHEMA}.titles"))

    async def common_grams(self) -> Mapping[int, float]:
        """The most common trigrams, and about how many titles have each."""
        query = text(
            "SELECT most_common_elems::text::int[] AS codes, most_common_elem_freqs AS shares, reltuples AS count "
            "FROM pg_stats JOIN pg_class ON oid = CAST(:table AS regclass) "
            "WHERE schemaname = :schema AND tablename = 'titles' AND attname = 'grams' "
            "AND most_common_elems IS NOT NULL"
        )
        named = {"table": f"{SCHEMA}.titles", "schema": SCHEMA}
        row = (await self._session.execute(query, named)).first()
        if row is None:
            return {}
        # Behind the shares stand the lowest and the highest one, and that of NULL.
        pairs = zip(row.codes, row.shares, strict=False)
        return {code: share * row.count for code, share in pairs}

    async def candidates(
        self,
        form: str,
        grams: Sequence[int],
        rare: Sequence[int],
        condition: Condition | None,
        *,
        with_hidden: bool,
    ) -> list[Candidate]:
        """Titles that begin with a normal form, the shortest first, and those that share most trigrams with it.

        Args:
            form: A normal form.
            grams: Its trigrams.
            rare: Those of them that are asked for.
            condition: What else must be true of the item; None for nothing.
            with_hidden: Those of hidden items, too.
        """
        query = candidates(condition, with_hidden=with_hidden)
        named = {
            "catalog": self._catalog,
            "form": form,
            "end": form + _LAST,
            "grams": grams,
            "rare": rare,
        }
        rows = await self._session.execute(query, named)
        return [Candidate(*row) for row in rows]

    async def best_rated(
        self,
        condition: Condition | None,
        after: tuple[float, str, str] | None,
        limit: int,
        *,
        with_hidden: bool,
    ) -> list[tuple[float, str, str]]:
        """Items by rating, the best first, then by the beginning of their titles.

        Args:
            condition: What must be true of an item; None for nothing.
            after: Of the last item of the page before: its rating (negative), the beginning of its title, its id; None
                for the first page.
            limit: The most to answer.
            with_hidden: Hidden ones, too.
        """
        query: Select[Any] = (
            select(BEST_FIRST, TITLE_BEGINNING, items.c.id)
            .where(items.c.catalog == self._catalog, ~items.c.deleted)
            .order_by(BEST_FIRST, TITLE_BEGINNING, items.c.id)
            .limit(limit)
        )
        if not with_hidden:
            query = query.where(~items.c.hidden)
        if condition is not None:
            query = query.where(sql.where(condition, COLUMNS))
        if after is not None:
            rating, title, item = after
            last = tuple_(
                literal(rating, Float), literal(title, Text), literal(item, items.c.id.type)
            )
            query = query.where(tuple_(BEST_FIRST, TITLE_BEGINNING, items.c.id) > last)
        rows = await self._session.execute(query)
        return [(row[0], row[1], row[2]) for row in rows]


def _rows(catalog: str, changed: Iterable[Item]) -> list[dict[str, Any]]:
    return [
        {
            "item": item.id,
            "form": title.form,
            "title": title.title,
            "part": title.part,
            "hidden": item.hidden,
            "grams": codes(catalog, title.form),
        }
        for item in changed
        for title in titles_of(item)
    ]
