"""`make demo`: bring films and people in, sign up, ask in every way, show what comes back."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from typing import Unpack

from rich.console import Console

from demo.byhand import commands
from demo.data import CATALOG, Person, films, people
from demo.setup import import_films, import_people, wait_known, wait_searchable
from demo.show import Stage
from recmesh_client import (
    AsyncClient,
    Diversity,
    FoundItem,
    ImportReport,
    Password,
    QueryFields,
    Targets,
)

INDEX_SECONDS = 120.0
RESULTS = 5
HITS = 2
BASKET = ("alien-1979", "the-thing-1982", "solaris-1972")
FILTER = 'language = "ja" AND release_year < 1990'
TYPED = ("god", "godf", "godfather p", "иди", "amelie")


async def main() -> None:
    """The tour."""
    console = Console(width=116)
    items, made_up = films(), people()
    stage = Stage(console, {film.id: film for film in items})
    admin = Password(os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    async with AsyncClient.connect(credentials=admin) as keeper:
        _report(stage, f"{len(items)} films", await import_films(keeper, items))
        what = f"what {len(made_up)} people liked, all of it made up"
        _report(stage, what, await import_people(keeper, made_up))
        await wait_searchable(keeper, INDEX_SECONDS)
        await wait_known(keeper, made_up[-1], INDEX_SECONDS)
        async with AsyncClient.connect() as visitor:
            email, password = f"ada.{secrets.token_hex(4)}@example.org", secrets.token_urlsafe(16)
            await visitor.register(email, password)
            await visitor.sign_in(Password(email, password))
            stage.say(f"[bold]Signed up[/] as {email}, with role `user`.\n")
            await _by_seed(stage, visitor)
            await _by_history(stage, keeper, visitor, made_up[0])
            await _otherwise(stage, visitor)
    stage.say("[bold]By hand[/], after `make up`, with grpcurl and jq:\n")
    for line in commands(Targets.from_environment()):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


async def _by_seed(stage: Stage, client: AsyncClient) -> None:
    """What the films should be like: a title, a film, words, several films."""
    found = {typed: await _hits(client, typed) for typed in TYPED}
    stage.typed("Searching as you type", found)
    await _ask(stage, client, "By a misspelt title", "“spirted awy”", title="spirted awy")
    await _ask(stage, client, "By a Russian title", "«Сталкер»", title="Сталкер")
    await _ask(stage, client, "By a film", "Ran", item="ran-1985")
    words = "a heist inside a dream"
    await _ask(stage, client, "By a few words", f"“{words}”", text=words)
    await _ask(stage, client, "By a basket", "Alien, The Thing, Solaris", items=BASKET)


async def _by_history(
    stage: Stage, keeper: AsyncClient, visitor: AsyncClient, person: Person
) -> None:
    """For you: for somebody who is known and for somebody who is new."""
    how = f"By the history of {person.name}, who is made up"
    await _ask(stage, keeper, how, person.taste, user=person.id, history=True)
    await _ask(stage, visitor, "By your own history", "", history=True)


async def _otherwise(stage: Stage, client: AsyncClient) -> None:
    """The same question with a filter, more varied, and again."""
    await _ask(stage, client, "With a filter", f"“war”, {FILTER}", text="war", filter=FILTER)
    first = await client.recommend(CATALOG, item="alien-1979", limit=RESULTS)
    varied = await client.recommend(
        CATALOG, item="alien-1979", limit=RESULTS, diversity=Diversity.HIGH
    )
    again = await client.recommend_again(first)
    columns = {"as they come": first, "diversity high": varied, "again, without those": again}
    stage.beside("Varied, and again", "Alien", columns)


async def _ask(
    stage: Stage,
    client: AsyncClient,
    how: str,
    asked: str,
    *,
    user: str = "",
    **query: Unpack[QueryFields],
) -> None:
    query.setdefault("limit", RESULTS)
    began = time.perf_counter()
    answer = await client.recommend(CATALOG, user=user, **query)
    stage.answer(how, asked, answer, (time.perf_counter() - began) * 1000)


async def _hits(client: AsyncClient, typed: str) -> Sequence[FoundItem]:
    """The best hits: the first page of the search."""
    return await anext(client.search_items(CATALOG, typed, page_size=HITS).pages())


def _report(stage: Stage, what: str, done: ImportReport) -> None:
    stage.say(
        f"[bold]Imported[/] {what}: {done.created} new, {done.updated} changed, "
        f"{done.unchanged} known, {done.failed} refused."
    )
    for error in done.errors:
        stage.say(f"  row {error.row}: {error.message}")


if __name__ == "__main__":
    asyncio.run(main())
