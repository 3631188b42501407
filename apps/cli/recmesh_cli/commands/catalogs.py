"""`catalogs`."""

from __future__ import annotations

import typer

from recmesh_cli.commands.context import AsJson, session_of


def catalogs(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the catalogs that you may read, with how much of them can be recommended."""
    from rich.table import Table
    from rich.text import Text

    from recmesh_cli import documents, screen

    with session_of(ctx) as session:
        client = session.client
        found = [client.get_catalog(one.id) for one in client.list_catalogs()]
    if as_json:
        screen.document({"catalogs": documents.plain(found)})
        return
    if not found:
        screen.say("There is none that you may read.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("catalog")
    table.add_column("name", overflow="fold")
    table.add_column("for")
    table.add_column("items", justify="right")
    table.add_column("searchable", justify="right")
    for one in found:
        counts = f"{one.item_count:,}", f"{one.searchable_item_count:,}"
        cells = (one.id, one.display_name, one.visibility.value, *counts)
        table.add_row(*(Text(screen.clean(cell)) for cell in cells))
    screen.out().print(table)


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(catalogs)
