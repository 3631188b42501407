"""Whom and what the mesh knows during a run: accounts, a catalog with some of the demo's films, what people did."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from chaos.asking import ACCOUNTS, CATALOG, PEOPLE, Known
from chaos.calls import Metadata, Principal
from chaos.fitting import Facts
from chaos.settling import until
from demo.data import films
from localmesh.errors import MeshError
from recmesh_client import (
    AsyncClient,
    Interaction,
    InteractionType,
    Item,
    Password,
    Targets,
    Visibility,
)
from recmesh_kit.text import normalise, title_parts

FIXED = 40
"""Items that do not change, and are asked for."""
CHANGING = 20
"""Items that change, are deleted and come back."""
_SEARCHABLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class World:
    """What there is.

    Attributes:
        admin: A client that writes.
        principals: The callers, by number.
        fixed: Items that are asked for.
        changing: Items that may change.
    """

    admin: AsyncClient
    principals: Sequence[Principal]
    fixed: Sequence[Item]
    changing: Sequence[Item]

    @property
    def known(self) -> list[Known]:
        """The items that are asked for."""
        return [Known(item.id, item.title) for item in self.fixed]


def chosen() -> tuple[list[Item], list[Item]]:
    """The films that do not change, and those that do. Whatever one of them is called means no other one."""
    called: dict[str, set[str]] = {}
    all_films = [film for film in films() if film.title.isascii()]
    for film in all_films:
        for form in _forms(film):
            called.setdefault(form, set()).add(film.id)
    plain = [film for film in all_films if all(len(called[form]) == 1 for form in _forms(film))]
    return plain[:FIXED], plain[FIXED : FIXED + CHANGING]


def _forms(film: Item) -> set[str]:
    """How its titles are compared, without articles, and their parts."""
    titles = (film.title, film.original_title, *film.alternate_titles)
    return {
        normalise(part).removeprefix("the ").removeprefix("a ")
        for title in titles
        for part in (title, *title_parts(title))
    }


def facts(fixed: Sequence[Item], changing: Sequence[Item]) -> Facts:
    """What is known of the films."""
    years = {item.id: item.release_year for item in (*fixed, *changing) if item.release_year}
    return Facts({item.title.lower(): item.id for item in fixed}, years)


async def make(
    stack: AsyncExitStack, targets: Targets, admin: Mapping[str, str], seed: int
) -> World:
    """Signs people up, writes the films and what people did, and waits until all can be recommended.

    Args:
        stack: Closes the clients.
        targets: Where the services are.
        admin: As `localmesh.environment.admin_account`.
        seed: Of the run.
    """
    password = Password(admin["RECMESH_ADMIN_EMAIL"], admin["RECMESH_ADMIN_PASSWORD"])
    keeper = await stack.enter_async_context(AsyncClient.connect(targets, credentials=password))
    fixed, changing = chosen()
    await keeper.create_catalog(CATALOG, display_name="Chaos", visibility=Visibility.PUBLIC)
    await keeper.import_items(CATALOG, [*fixed, *changing])
    await keeper.import_interactions(CATALOG, _first_interactions(seed, fixed))
    people = [await _sign_up(stack, targets, number) for number in range(ACCOUNTS)]
    principals = [Principal((await keeper.get_user()).id, _metadata(keeper)), *people]
    if not await until(lambda: _searchable(keeper), _SEARCHABLE_SECONDS):
        raise MeshError("the films cannot be recommended")
    return World(keeper, principals, fixed, changing)


async def _searchable(keeper: AsyncClient) -> bool:
    return (await keeper.get_catalog(CATALOG)).searchable_item_count == FIXED + CHANGING


async def _sign_up(stack: AsyncExitStack, targets: Targets, number: int) -> Principal:
    client = await stack.enter_async_context(AsyncClient.connect(targets))
    email, password = f"person-{number}@example.org", secrets.token_urlsafe(16)
    user = await client.register(email, password)
    await client.sign_in(Password(email, password))
    return Principal(user.id, _metadata(client))


def _metadata(client: AsyncClient) -> Callable[[], Awaitable[Metadata]]:
    async def metadata() -> Metadata:
        return (("authorization", f"Bearer {(await client.token()).access_token}"),)

    return metadata


def _first_interactions(seed: int, items: Sequence[Item]) -> list[Interaction]:
    """What half of the people did before."""
    chance = Random(f"people {seed}")  # noqa: S311 - the same each time
    now = datetime.now(UTC)
    return [
        Interaction(
            item.id,
            InteractionType.LIKE,
            user=f"person-{person}",
            event_time=now - timedelta(hours=chance.randint(1, 1000)),
            id=f"first-{person}-{item.id}",
        )
        for person in range(0, PEOPLE, 2)
        for item in chance.sample(items, 3)
    ]
