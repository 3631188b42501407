"""The SQL of catalogs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import Text, any_, delete, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_catalog.catalogs.catalog import CONTENT, Catalog
from recmesh_catalog.models import catalogs, deleted_catalogs, items

INDEX_SILENCE = timedelta(minutes=5)
"""The workers tell of every index once a minute. One that they have not told of for so long is no more: that of an
encoder that was replaced, say, whose successor counts from the beginning."""

_INDEX = ("index_sequence", "searchable_item_count", "index_time")
_columns = [column for column in catalogs.c if column.name not in _INDEX]
_rows = select(*_columns)


class CatalogRepository:
    """Catalogs, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, catalog: str) -> Catalog | None:
        """The catalog; None if there is none."""
        found = await self._session.execute(_rows.where(catalogs.c.id == catalog))
        row = found.mappings().first()
        return None if row is None else Catalog(**row)

    async def is_public(self, catalog: str, *, hold: bool = False) -> bool | None:
        """Whether everybody may read it; None if there is none.

        Args:
            catalog: Its id.
            hold: Keeps it from being deleted until the transaction ends.
        """
        query = select(catalogs.c.public).where(catalogs.c.id == catalog)
        if hold:
            query = query.with_for_update(read=True, key_share=True)
        return (await self._session.execute(query)).scalar()

    async def lock(self, catalog: str) -> bool:
        """Keeps others from changing the catalog's items until the transaction ends, so that revisions are given in
        the order of commits. False if there is no such catalog.
        """
        query = select(catalogs.c.id).where(catalogs.c.id == catalog)
        locked = await self._session.execute(query.with_for_update(key_share=True))
        return locked.first() is not None

    async def page(
        self, after: str | None, limit: int, *, granted: Iterable[str] | None
    ) -> list[Catalog]:
        """Catalogs by id.

        Args:
            after: The id that the page before ended with; None for the first page.
            limit: The most to answer.
            granted: Of private catalogs only these; None for all.
        """
        query = _rows.order_by(catalogs.c.id).limit(limit)
        if after is not None:
            query = query.where(catalogs.c.id > after)
        if granted is not None:
            query = query.where(
                catalogs.c.public | (catalogs.c.id == any_(literal(list(granted), ARRAY(Text))))
            )
        found = await self._session.execute(query)
        return [Catalog(**row) for row in found.mappings()]

    async def create(self, catalog: Catalog) -> Catalog | None:
        """Makes a catalog, and answers it with its times; None if its id is taken."""
        values = {name: getattr(catalog, name) for name in ("id", *CONTENT)}
        before = select(deleted_catalogs.c.revision).where(deleted_catalogs.c.id == catalog.id)
        revision = func.coalesce(before.scalar_subquery(), 0)
        query = insert(catalogs).values(**values, revision=revision).on_conflict_do_nothing()
        created = await self._session.execute(query.returning(*_columns))
        row = created.mappings().first()
        return None if row is None else Catalog(**row)

    async def update(self, catalog: Catalog) -> Catalog:
        """Writes what a caller may change, and answers the catalog as it is then."""
        values = {name: getattr(catalog, name) for name in CONTENT}
        query = (
            update(catalogs)
            .where(catalogs.c.id == catalog.id)
            .values(**values, update_time=func.statement_timestamp())
            .returning(*_columns)
        )
        return Catalog(**(await self._session.execute(query)).mappings().one())

    async def delete(self, catalog: str) -> None:
        """Deletes a catalog with everything in it; only how far its revisions went is kept."""
        last = select(catalogs.c.id, catalogs.c.revision).where(catalogs.c.id == catalog)
        note = insert(deleted_catalogs).from_select(["id", "revision"], last.with_for_update())
        await self._session.execute(
            note.on_conflict_do_update(
                index_elements=["id"], set_={"revision": note.excluded.revision}
            )
        )
        await self._session.execute(delete(catalogs).where(catalogs.c.id == catalog))

    async def has_items(self, catalog: str) -> bool:
        """Whether it holds an item, hidden ones included."""
        query = select(exists().where(items.c.catalog == catalog, ~items.c.deleted))
        return bool((await self._session.execute(query)).scalar())

    async def count_items(self, catalog: str, *, with_hidden: bool) -> tuple[int, int]:
        """How many items it has, and how many items the workers told last that they can recommend."""
        counted = select(func.count()).where(items.c.catalog == catalog, ~items.c.deleted)
        if not with_hidden:
            counted = counted.where(~items.c.hidden)
        query = select(counted.scalar_subquery(), catalogs.c.searchable_item_count).where(
            catalogs.c.id == catalog
        )
        row = (await self._session.execute(query)).first()
        return (0, 0) if row is None else (row[0], row[1])

    async def note_index(self, catalog: str, sequence: int, searchable: int) -> None:
        """Notes how far a catalog's index is, unless it is known to be further, or there is no such catalog.

        Args:
            catalog: Its id.
            sequence: How far. It goes on where it was when a catalog is deleted and made again.
            searchable: How many items are in it.
        """
        now = func.statement_timestamp()
        await self._session.execute(
            update(catalogs)
            .where(
                catalogs.c.id == catalog,
                or_(
                    catalogs.c.index_sequence <= sequence,
                    catalogs.c.index_time < now - INDEX_SILENCE,
                ),
            )
            .values(index_sequence=sequence, searchable_item_count=searchable, index_time=now)
        )
