"""The rules of catalogs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from recmesh_catalog.catalogs.catalog import Catalog
from recmesh_catalog.catalogs.repository import CatalogRepository
from recmesh_catalog.errors import CatalogExists, CatalogHasItems, CatalogNotFound
from recmesh_catalog.outbox.events import Events
from recmesh_catalog.outbox.outbox import Outbox
from recmesh_kit.database import Database
from recmesh_kit.principal import ABOVE_USER, Principal


class CatalogService:
    """Makes, reads, changes and deletes catalogs.

    Args:
        database: Where they are.
        outbox: Opens the transactions that change them, so that others hear of it.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def create(self, catalog: Catalog) -> Catalog:
        """Makes a catalog.

        Raises:
            CatalogExists: Its id is taken.
        """
        async with self._outbox.transaction() as session:
            created = await CatalogRepository(session).create(_named(catalog))
            if created is None:
                raise CatalogExists(catalog.id)
            await Events(session).catalog_changed(catalog.id)
        return created

    async def get(self, principal: Principal, catalog: str) -> Catalog:
        """Reads a catalog, with the numbers of the items that the caller can see and that can be recommended.

        Raises:
            CatalogNotFound: It is not there, or not for this caller.
        """
        async with self._database.transaction() as session:
            repository = CatalogRepository(session)
            found = await repository.get(catalog)
            if found is None or not principal.may_read(catalog, public=found.public):
                raise CatalogNotFound(catalog)
            above = principal.is_above_user(catalog)
            count, searchable = await repository.count_items(catalog, with_hidden=above)
        # The index is a moment behind, and may still hold what was deleted or hidden.
        return replace(found, item_count=count, searchable_item_count=min(searchable, count))

    async def page(
        self, principal: Principal, after: str | None, size: int
    ) -> tuple[list[Catalog], str | None]:
        """A page of the catalogs that the caller may read, by id, and where the next one starts (None: at the end)."""
        sees_all = not ABOVE_USER.isdisjoint(principal.roles)
        granted = None if sees_all else principal.catalog_roles.keys()
        async with self._database.transaction() as session:
            found = await CatalogRepository(session).page(after, size + 1, granted=granted)
        page = found[:size]
        return page, page[-1].id if len(found) > size else None

    async def update(self, sent: Catalog, fields: Iterable[str]) -> Catalog:
        """Changes those fields of a catalog.

        Raises:
            CatalogNotFound: There is none.
        """
        async with self._outbox.transaction() as session:
            repository = CatalogRepository(session)
            known = await repository.get(sent.id) if await repository.lock(sent.id) else None
            if known is None:
                raise CatalogNotFound(sent.id)
            wanted = _named(replace(known, **{name: getattr(sent, name) for name in fields}))
            if wanted == known:
                return known
            changed = await repository.update(wanted)
            await Events(session).catalog_changed(sent.id)
        return changed

    async def delete(self, catalog: str, *, force: bool) -> None:
        """Deletes a catalog.

        Args:
            catalog: Its id.
            force: Deletes everything in it, too.

        Raises:
            CatalogNotFound: There is none.
            CatalogHasItems: It holds items and `force` is not set.
        """
        async with self._outbox.transaction() as session:
            repository = CatalogRepository(session)
            if not await repository.lock(catalog):
                raise CatalogNotFound(catalog)
            if not force and await repository.has_items(catalog):
                raise CatalogHasItems(catalog)
            await repository.delete(catalog)
            await Events(session).catalog_changed(catalog, deleted=True)


def _named(catalog: Catalog) -> Catalog:
    """A catalog without a name for people goes by its id."""
    return catalog if catalog.display_name else replace(catalog, display_name=catalog.id)
