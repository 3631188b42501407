"""What comes before reading something in a catalog, or changing it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_catalog.catalogs.repository import CatalogRepository
from recmesh_catalog.errors import CatalogNotFound
from recmesh_kit.principal import Principal


async def require_readable(
    session: AsyncSession, catalog: str, principal: Principal, *, hold: bool = False
) -> None:
    """Lets those pass for whom the catalog is there.

    Args:
        session: The transaction in hand.
        catalog: Its id.
        principal: Who is calling.
        hold: Keeps the catalog from being deleted until the transaction ends.

    Raises:
        CatalogNotFound: It is not there, or not for this caller.
    """
    public = await CatalogRepository(session).is_public(catalog, hold=hold)
    if public is None or not principal.may_read(catalog, public=public):
        raise CatalogNotFound(catalog)


async def lock(session: AsyncSession, catalog: str) -> None:
    """Keeps others from changing the catalog's items until the transaction in hand ends.

    Raises:
        CatalogNotFound: There is no such catalog.
    """
    if not await CatalogRepository(session).lock(catalog):
        raise CatalogNotFound(catalog)
