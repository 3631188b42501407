"""The rules of items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from recmesh_catalog.catalogs.access import lock, require_readable
from recmesh_catalog.catalogs.repository import CatalogRepository
from recmesh_catalog.errors import CatalogNotFound, ItemChanged, ItemExists, ItemNotFound
from recmesh_catalog.items.item import Changes, Item, ItemChange, Written
from recmesh_catalog.items.repository import ItemRepository
from recmesh_catalog.outbox.events import Events
from recmesh_catalog.outbox.outbox import Outbox
from recmesh_catalog.search.repository import TitleRepository
from recmesh_kit.database import Database
from recmesh_kit.filters.tree import Condition
from recmesh_kit.principal import Principal

GROUP = 200
"""How many changes an export reads at once."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What an import did with its good rows."""

    created: int
    updated: int
    unchanged: int


class ItemService:
    """Makes, reads, changes and deletes items. Whoever may call what writes has been decided before.

    Args:
        database: Where they are.
        outbox: Opens the transactions that change them, so that others hear of it.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def create(self, catalog: str, items: Sequence[Item]) -> list[Item]:
        """Makes items with ids that do not repeat: all of them or none.

        Raises:
            CatalogNotFound: There is no such catalog.
            ItemExists: The first of them that is there already.
        """
        async with self._outbox.transaction() as session:
            await lock(session, catalog)
            repository = ItemRepository(session, catalog)
            titles = TitleRepository(session, catalog)
            known = await repository.find([item.id for item in items], with_hidden=True)
            for item in items:
                if item.id in known:
                    raise ItemExists(catalog, item.id)
            written = await _write(repository, titles, Events(session), catalog, items)
        return [_as_written(item, written) for item in items]

    async def get(
        self, principal: Principal, catalog: str, ids: Sequence[str], *, allow_missing: bool = False
    ) -> list[Item]:
        """Reads items, in the order of their ids.

        Args:
            principal: Who is calling. To a plain user hidden items are not there.
            catalog: The catalog's id.
            ids: The items' ids.
            allow_missing: Leaves out what is not there.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
            ItemNotFound: The first that is not there, unless `allow_missing` is set.
        """
        async with self._database.transaction() as session:
            await require_readable(session, catalog, principal)
            above = principal.is_above_user(catalog)
            found = await ItemRepository(session, catalog).find(ids, with_hidden=above)
        for item in ids:
            if item not in found and not allow_missing:
                raise ItemNotFound(catalog, item)
        return [found[item] for item in ids if item in found]

    async def page(
        self,
        principal: Principal,
        catalog: str,
        after: str | None,
        size: int,
        where: Condition | None = None,
    ) -> tuple[list[Item], str | None]:
        """A page of the items that the caller may see, by id, and where the next one starts (None: at the end).

        Args:
            principal: Who is calling. To a plain user hidden items are not there, whatever `where` says.
            catalog: The catalog's id.
            after: The id that the page before ended with; None for the first page.
            size: The most to answer.
            where: Which items; None for all.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
        """
        async with self._database.transaction() as session:
            await require_readable(session, catalog, principal)
            above = principal.is_above_user(catalog)
            repository = ItemRepository(session, catalog)
            found = await repository.page(after, size + 1, where=where, with_hidden=above)
        page = found[:size]
        return page, page[-1].id if len(found) > size else None

    async def changes(
        self, principal: Principal, catalog: str, after: int
    ) -> AsyncIterator[Changes]:
        """What changed after a revision, up to the present, in groups.

        Each group is read in a transaction of its own, which a slow reader does not hold open. None is missed:
        revisions are given under the catalog's lock, and so in the order of commits; whoever sees one sees all below.
        An item that changes meanwhile comes at its new revision.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
        """
        while True:
            async with self._database.transaction() as session:
                await require_readable(session, catalog, principal)
                # Before the items, so that they go at least so far.
                known = await CatalogRepository(session).get(catalog)
                if known is None:
                    raise CatalogNotFound(catalog)
                found = await ItemRepository(session, catalog).changed(after, GROUP)
            full = len(found) == GROUP
            last = found[-1].item.revision if found else after
            after = last if full else max(last, known.revision)
            yield Changes(found, after)
            if not full:
                return

    async def update(
        self, catalog: str, sent: Item, fields: Collection[str], *, etag: str, allow_missing: bool
    ) -> Item:
        """Changes those fields of an item. An update that changes nothing leaves the item as it is.

        Args:
            catalog: The catalog's id.
            sent: The item's id and the new content of its fields.
            fields: Which fields count.
            etag: Changes it only if this is still the item's; empty for in any case.
            allow_missing: Makes the item, from all fields, if there is none.

        Raises:
            CatalogNotFound: There is no such catalog.
            ItemNotFound: There is no such item, and `allow_missing` is not set.
            ItemChanged: The etag is another by now, or the item is gone.
        """
        async with self._outbox.transaction() as session:
            await lock(session, catalog)
            repository = ItemRepository(session, catalog)
            titles = TitleRepository(session, catalog)
            known = (await repository.find([sent.id], with_hidden=True)).get(sent.id)
            if known is None and not allow_missing:
                raise ItemNotFound(catalog, sent.id)
            if etag and (known is None or known.etag != etag):
                raise ItemChanged(catalog, sent.id)
            wanted = sent
            if known is not None:
                wanted = replace(known, **{name: getattr(sent, name) for name in fields})
            written = await _write(repository, titles, Events(session), catalog, [wanted])
        return _as_written(wanted, written)

    async def delete(self, catalog: str, item: str, *, etag: str, allow_missing: bool) -> None:
        """Deletes an item.

        Args:
            catalog: The catalog's id.
            item: The item's id.
            etag: Deletes it only if this is still the item's; empty for in any case.
            allow_missing: Succeeds if there is none.

        Raises:
            CatalogNotFound: There is no such catalog.
            ItemNotFound: There is no such item, and `allow_missing` is not set.
            ItemChanged: The etag is another by now.
        """
        async with self._outbox.transaction() as session:
            await lock(session, catalog)
            repository = ItemRepository(session, catalog)
            known = (await repository.find([item], with_hidden=True)).get(item)
            if known is None:
                if allow_missing:
                    return
                raise ItemNotFound(catalog, item)
            if etag and known.etag != etag:
                raise ItemChanged(catalog, item)
            change = await repository.delete(item)
            await TitleRepository(session, catalog).delete(item)
            await Events(session).items_changed(catalog, [change])

    async def import_group(self, catalog: str, items: Sequence[Item]) -> Counts:
        """Makes or replaces items with ids that do not repeat, in one transaction.

        Raises:
            CatalogNotFound: There is no such catalog.
        """
        async with self._outbox.transaction() as session:
            await lock(session, catalog)
            repository = ItemRepository(session, catalog)
            titles = TitleRepository(session, catalog)
            written = await _write(repository, titles, Events(session), catalog, items)
        created = sum(item.created for item in written.values())
        return Counts(created, len(written) - created, len(items) - len(written))

    async def analyse(self, catalog: str) -> None:
        """Lets queries be planned for as many items as there are by now."""
        async with self._database.transaction() as session:
            await TitleRepository(session, catalog).analyse()
            await ItemRepository(session, catalog).analyse()


async def _write(
    repository: ItemRepository,
    titles: TitleRepository,
    events: Events,
    catalog: str,
    items: Sequence[Item],
) -> Mapping[str, Written]:
    """Writes items, what those that changed are found by, and the events that tell of them."""
    written = await repository.write(items)
    await titles.write([item for item in items if item.id in written])
    changes = [ItemChange(item.id, item.revision) for item in written.values()]
    await events.items_changed(catalog, changes)
    return written


def _as_written(item: Item, written: Mapping[str, Written]) -> Item:
    """An item as it is after a write."""
    new = written.get(item.id)
    if new is None:
        return item
    return replace(
        item, revision=new.revision, create_time=new.create_time, update_time=new.update_time
    )
