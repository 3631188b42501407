"""What the mesh needs before it can be asked: the catalog, its films and its people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from demo.data import CATALOG, Person
from recmesh_client import AlreadyExists, AsyncClient, Fallback, ImportReport, Item, Visibility

POLL_SECONDS = 0.1


async def import_films(client: AsyncClient, items: Sequence[Item]) -> ImportReport:
    """Makes the catalog, public, and writes films; what is there is left alone. Needs an editor."""
    with suppress(AlreadyExists):
        await client.create_catalog(CATALOG, display_name="Films", visibility=Visibility.PUBLIC)
    return await client.import_items(CATALOG, items)


async def import_people(client: AsyncClient, people: Sequence[Person]) -> ImportReport:
    """Writes what people did; what is there is left alone. Needs an editor."""
    said = (interaction for person in people for interaction in person.interactions)
    return await client.import_interactions(CATALOG, said)


async def wait_searchable(client: AsyncClient, seconds: float) -> None:
    """Returns once every film can be recommended. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(seconds):
        while True:
            catalog = await client.get_catalog(CATALOG)
            if catalog.searchable_item_count >= catalog.item_count:
                return
            await asyncio.sleep(POLL_SECONDS)


async def wait_known(client: AsyncClient, person: Person, seconds: float) -> None:
    """Returns once the workers know what a person did. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(seconds):
        while True:
            answer = await client.recommend(CATALOG, history=True, user=person.id, limit=1)
            if answer.fallback is Fallback.NONE:
                return
            await asyncio.sleep(POLL_SECONDS)
