"""The SQL of items."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, Text, any_, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_catalog.items.filtering import COLUMNS, FOLDED, folded
from recmesh_catalog.items.item import CONTENT, Change, Item, ItemChange, Written
from recmesh_catalog.items.upsert import upsert
from recmesh_catalog.models import SCHEMA, catalogs, items
from recmesh_kit.filters import sql
from recmesh_kit.filters.tree import Condition

# What queries look for. The other columns are long texts, which would take a while to read.
_LOOKED_AT = sorted({"catalog", "id", "revision", "deleted", *(c.name for c in COLUMNS.values())})
_columns = [column for column in items.c if column.name not in ("catalog", "deleted", *FOLDED)]


class ItemRepository:
    """Items of one catalog, within one transaction. Whoever writes has locked the catalog."""

    def __init__(self, session: AsyncSession, catalog: str) -> None:
        self._session = session
        self._catalog = catalog

    async def find(self, ids: Sequence[str], *, with_hidden: bool) -> dict[str, Item]:
        """Those of these items that there are, by id."""
        query = self._present(with_hidden=with_hidden).where(
            items.c.id == any_(literal(ids, ARRAY(Text)))
        )
        found = await self._session.execute(query)
        return {row["id"]: Item(**row) for row in found.mappings()}

    async def page(
        self, after: str | None, limit: int, *, where: Condition | None = None, with_hidden: bool
    ) -> list[Item]:
        """Items by id.

        Args:
            after: The id that the page before ended with; None for the first page.
            limit: The most to answer.
            where: Which; None for all.
            with_hidden: Hidden ones, too.
        """
        query = self._present(with_hidden=with_hidden).order_by(items.c.id).limit(limit)
        if after is not None:
            query = query.where(items.c.id > after)
        if where is not None:
            query = query.where(sql.where(where, COLUMNS))
        found = await self._session.execute(query)
        return [Item(**row) for row in found.mappings()]

    async def changed(self, after: int, limit: int) -> list[Change]:
        """Items that changed after a revision, and those that went, in the order of revisions."""
        query = (
            select(*_columns, items.c.deleted)
            .where(items.c.catalog == self._catalog, items.c.revision > after)
            .order_by(items.c.revision)
            .limit(limit)
        )
        found = await self._session.execute(query)
        rows = [dict(row) for row in found.mappings()]
        return [Change(deleted=row.pop("deleted"), item=Item(**row)) for row in rows]

    async def write(self, wanted: Sequence[Item]) -> dict[str, Written]:
        """Makes items, or replaces what is known of them. Ids must not repeat.

        Answers by id, in the order of revisions, what became of those that were new or said something new; those that
        said what was known already are left alone.
        """
        # A thousand items take a while: other calls go on meanwhile.
        rows = await asyncio.to_thread(_rows, wanted)
        found = await self._session.execute(upsert(), {"catalog": self._catalog, "rows": rows})
        written = sorted((Written(**row) for row in found.mappings()), key=lambda w: w.revision)
        return {item.id: item for item in written}

    async def delete(self, item: str) -> ItemChange:
        """Leaves nothing of an item but its id, and the revision at which it went."""
        raised = (
            update(catalogs)
            .where(catalogs.c.id == self._catalog)
            .values(revision=catalogs.c.revision + 1)
            .returning(catalogs.c.revision)
        )
        revision = (await self._session.execute(raised)).scalar_one()
        await self._session.execute(
            update(items)
            .where(items.c.catalog == self._catalog, items.c.id == item)
            .values(
                **_content(Item(item)),
                deleted=True,
                revision=revision,
                update_time=func.statement_timestamp(),
            )
        )
        return ItemChange(item, revision, deleted=True)

    async def analyse(self) -> None:
        """Has PostgreSQL gather its statistics, unless somebody is at it: without them it reads the whole table for a
        few items."""
        looked_at = ", ".join(f'"{name}"' for name in _LOOKED_AT)
        await self._session.execute(text(f"ANALYZE (SKIP_LOCKED) {SCHEMA}.items ({looked_at})"))

    def _present(self, *, with_hidden: bool) -> Select[Any]:
        query = select(*_columns).where(items.c.catalog == self._catalog, ~items.c.deleted)
        return query if with_hidden else query.where(~items.c.hidden)


def _rows(wanted: Sequence[Item]) -> list[dict[str, Any]]:
    return [
        {"position": position, "id": item.id, **_content(item)}
        for position, item in enumerate(wanted)
    ]


def _content(item: Item) -> dict[str, Any]:
    return {**{name: getattr(item, name) for name in CONTENT}, **folded(item)}
