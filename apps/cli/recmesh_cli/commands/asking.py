"""`recommend` and `search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from recmesh_cli.commands.context import AsJson, Catalog, Filter, User, session_of

if TYPE_CHECKING:
    from recmesh_client import QueryFields, Recommendation

MOST = 200


def recommend(
    ctx: typer.Context,
    catalog: Catalog,
    title: Annotated[
        str | None, typer.Option(help="Like this title, as you would type it.")
    ] = None,
    item: Annotated[str | None, typer.Option(metavar="ID", help="Like this item.")] = None,
    text: Annotated[str | None, typer.Option(help="About this, in your words.")] = None,
    history: Annotated[bool, typer.Option("--history", help="By what you did lately.")] = False,
    items: Annotated[
        str | None, typer.Option(metavar="ID,ID,…", help="Like all of these items.")
    ] = None,
    continued: Annotated[
        str | None,
        typer.Option(
            "--continue",
            metavar="NAME",
            help="Again, without what an answer and those before it showed.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="How many; 10, or as many as before.")
    ] = None,
    filter: Filter = "",  # noqa: A002 - so it is called everywhere
    strict: Annotated[
        bool, typer.Option("--strict", help="Rather too few than what the filter excludes.")
    ] = False,
    exclude: Annotated[
        str | None, typer.Option(metavar="ID,ID,…", help="None of these items.")
    ] = None,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also what was seen already.")
    ] = False,
    diversity: Annotated[
        Literal["none", "low", "medium", "high"] | None, typer.Option(help="How varied.")
    ] = None,
    user: User = "",
    session: Annotated[str, typer.Option(metavar="ID", help="The visit that it belongs to.")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask for recommendations: like a title or items, about words, or by what a person did.

    Say one of --title, --item, --text, --history, --items and --continue.
    """
    from recmesh_cli import documents, screen
    from recmesh_cli.failures import UsageError
    from recmesh_client import Diversity

    seeds = [title, item, text, items, continued]
    if sum(seed is not None for seed in seeds) + history != 1:
        raise UsageError(
            "say one of --title, --item, --text, --history, --items and --continue, and no other"
        )
    query: QueryFields = {
        "title": title,
        "item": item,
        "text": text,
        "history": history,
        "items": None if items is None else _ids(items),
        "limit": limit or 0,
        "filter": filter,
        "strict_filter": strict,
        "exclude_items": _ids(exclude or ""),
        "include_seen": include_seen,
        "diversity": Diversity(diversity or "default"),
    }
    with session_of(ctx) as signed_in:
        client = signed_in.client
        if continued is not None:
            if filter or strict or exclude or include_seen or diversity or user or session:
                raise UsageError("--continue asks the same again: only --limit goes with it")
            bare = "/" not in continued
            name = f"catalogs/{catalog}/recommendations/{continued}" if bare else continued
            answer = client.recommend_again(name, limit=limit or 0)
        else:
            answer = client.recommend(catalog, user=user, session=session, **query)
    if as_json:
        screen.document(documents.recommendation(answer))
    else:
        _show(catalog, answer)


def _ids(said: str) -> list[str]:
    return [one.strip() for one in said.split(",") if one.strip()]


def _show(catalog: str, answer: Recommendation) -> None:
    from rich.table import Table
    from rich.text import Text

    from recmesh_cli import screen, words

    said = words.understood(answer)
    if said:
        screen.say(said)
    if not answer.results:
        screen.say(
            "There is nothing more." if answer.continues else "There is nothing to recommend."
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("title", overflow="fold")
    table.add_column("score", justify="right")
    screen.ids(table, [result.item for result in answer.results])
    table.add_column("why", overflow="fold")
    for place, result in enumerate(answer.results, 1):
        cells = (result.title, f"{result.score:.2f}", result.item, words.because(result.reasons))
        table.add_row(str(place), *(Text(screen.clean(cell)) for cell in cells))
    screen.out().print(table)
    screen.note(f"More: recmesh recommend {catalog} --continue {answer.id}")


def search(
    ctx: typer.Context,
    catalog: Catalog,
    query: Annotated[str, typer.Argument(help="A title, or its beginning, misspelt or not.")],
    filter: Filter = "",  # noqa: A002 - so it is called everywhere
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find items by title."""
    from itertools import islice

    from rich.table import Table
    from rich.text import Text

    from recmesh_cli import documents, screen

    with session_of(ctx) as session:
        pages = session.client.search_items(
            catalog, query, filter=filter, page_size=min(limit, 100)
        )
        found = list(islice(pages, limit))
    if as_json:
        screen.document({"results": documents.plain(found)})
        return
    if not found:
        screen.say("Nothing is called so.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("title", overflow="fold")
    table.add_column("year", justify="right")
    table.add_column("fit", justify="right")
    screen.ids(table, [one.item.id for one in found])
    for one in found:
        year = str(one.item.release_year or "")
        also = "" if one.matched_title in ("", one.item.title) else f" ({one.matched_title})"
        fit = f"{one.score:.2f}" if query.strip() else ""
        cells = (one.item.title + also, year, fit, one.item.id)
        table.add_row(*(Text(screen.clean(cell)) for cell in cells))
    screen.out().print(table)


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(recommend)
    app.command()(search)
