"""`history`, `like`, `dislike` and `rate`: what people did."""

from __future__ import annotations

from typing import Annotated

import typer

from recmesh_cli.commands.context import AsJson, Catalog, Filter, User, session_of

ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="Id of the item: search shows it.")]
Shown = Annotated[
    str, typer.Option(metavar="TOKEN", help="The attribution_token of the answer that led to it.")
]


def history(
    ctx: typer.Context,
    catalog: Catalog,
    user: User = "",
    filter: Filter = "",  # noqa: A002 - so it is called everywhere
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what a person did, the newest first."""
    from itertools import islice

    from rich.table import Table
    from rich.text import Text

    from recmesh_cli import documents, screen, words

    with session_of(ctx) as session:
        client = session.client
        whose = user or client.get_user().id
        pages = client.list_interactions(
            catalog, user=whose, filter=filter, page_size=min(limit, 100)
        )
        found = list(islice(pages, limit))
        ids = dict.fromkeys(one.item for one in found)
        known = client.batch_get_items(catalog, ids, allow_missing=True) if ids else ()
    titles = {item.id: item.title for item in known}
    if as_json:
        screen.document({"interactions": documents.plain(found)})
        return
    if not found:
        screen.say("Nothing yet.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("when")
    table.add_column("what")
    table.add_column("title", overflow="fold")
    screen.ids(table, [one.item for one in found])
    for one in found:
        at = one.event_time or one.create_time
        when = at.astimezone().strftime("%Y-%m-%d %H:%M") if at else ""
        cells = (when, words.deed(one), titles.get(one.item, "(not in the catalog)"), one.item)
        table.add_row(*(Text(screen.clean(cell)) for cell in cells))
    screen.out().print(table)


def like(
    ctx: typer.Context,
    catalog: Catalog,
    item: ItemId,
    user: User = "",
    attribution_token: Shown = "",
) -> None:
    """Say that an item is good."""
    _write(ctx, catalog, item, "like", None, user, attribution_token)


def dislike(
    ctx: typer.Context,
    catalog: Catalog,
    item: ItemId,
    user: User = "",
    attribution_token: Shown = "",
) -> None:
    """Say that an item is bad."""
    _write(ctx, catalog, item, "dislike", None, user, attribution_token)


def rate(
    ctx: typer.Context,
    catalog: Catalog,
    item: ItemId,
    value: Annotated[float, typer.Argument(help="On the scale that the catalog uses.")],
    user: User = "",
    attribution_token: Shown = "",
) -> None:
    """Rate an item."""
    _write(ctx, catalog, item, "rating", value, user, attribution_token)


def _write(
    ctx: typer.Context,
    catalog: str,
    item: str,
    kind: str,
    value: float | None,
    user: str,
    attribution_token: str,
) -> None:
    from recmesh_cli.screen import say
    from recmesh_client import Interaction, InteractionType, NotFound

    with session_of(ctx) as session:
        # The service takes what people did before it knows the item; a person who types has mistyped.
        try:
            title = session.client.get_item(catalog, item).title
        except NotFound as error:
            if error.metadata.get("resource") == f"catalogs/{catalog}":
                raise
            hint = f"{error.message} recmesh search {catalog} finds its id by title."
            raise NotFound(hint, reason=error.reason) from None
        done = Interaction(
            item,
            InteractionType(kind),
            user=user,
            value=value,
            attribution_token=attribution_token,
        )
        session.client.write_interaction(catalog, done)
    said = {"like": "Liked", "dislike": "Disliked", "rating": f"Rated {value or 0:g}:"}[kind]
    say(f"{said} {title} ({item}).")


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (history, like, dislike, rate):
        app.command()(command)
