"""`import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from recmesh_cli.commands.context import AsJson, Catalog, session_of

if TYPE_CHECKING:
    from recmesh_cli.importing.plan import Plan


def import_(
    ctx: typer.Context,
    catalog: Catalog,
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE…", help="A folder, or files of one format.")
    ],
    form: Annotated[
        Literal["movielens", "tmdb", "csv", "jsonl", "json", "parquet"] | None,
        typer.Option("--format", help="Found out when not given."),
    ] = None,
    kind: Annotated[
        Literal["items", "interactions"] | None,
        typer.Option(help="What rows of tables are (default items); of MovieLens, what is wanted."),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Which column a field is in, for lists with their separator: genres=Genres,sep=|.",
        ),
    ] = None,
    constants: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field that is the same in all rows."),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="The same in a TOML or JSON file.", exists=True)
    ] = None,
    delimiter: Annotated[
        str, typer.Option(help="Between columns of CSV; default a comma, in .tsv a tab.")
    ] = "",
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Leave out rows of tables without this field."),
    ] = None,
    item_ids: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV of ids in the source and in the catalog: interactions are moved, others left out.",
        ),
    ] = None,
    likes_from: Annotated[
        float, typer.Option(help="MovieLens: from so many stars on a rating is a like.")
    ] = 4.0,
    dislikes_to: Annotated[
        float, typer.Option(help="MovieLens: up to so many stars it is a dislike.")
    ] = 2.0,
    keep_ratings: Annotated[
        bool, typer.Option("--keep-ratings", help="MovieLens: ratings stay ratings.")
    ] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Make the catalog, public, when there is none.")
    ] = False,
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep all refused rows, as JSON Lines.")
    ] = None,
    show_errors: Annotated[int, typer.Option(min=0, help="Show so many of them.")] = 20,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when a row was refused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the rows of files into a catalog.

    Formats: MovieLens (latest-small, 25M, 1M, 10M), TMDB 5000, and CSV, JSON Lines, JSON arrays and Parquet with a
    column mapping. Wrong rows are told by line and kept out, good ones go in. A second run changes nothing, and goes on
    where one was broken off.
    """
    from recmesh_cli.formats import detect
    from recmesh_cli.formats.detect import Format, Wishes
    from recmesh_cli.formats.mapping import from_file, from_options
    from recmesh_cli.formats.movielens import Opinions
    from recmesh_cli.importing.plan import Plan

    if mapping is not None and (maps or constants or kind):
        from recmesh_cli.failures import UsageError

        raise UsageError("--mapping holds what --map, --set and --kind would say")
    columns = from_file(mapping) if mapping else from_options(kind, maps or (), constants or ())
    opinions = Opinions(None, None) if keep_ratings else Opinions(likes_from, dislikes_to)
    wishes = Wishes(Format(form) if form else None, columns, delimiter, require or (), opinions)
    steps = detect.steps(sources, wishes)
    wanted = tuple(step for step in steps if kind in (None, step.kind))
    _run(ctx, Plan(catalog, wanted, create, item_ids, errors, show_errors), strict, as_json)


def _run(ctx: typer.Context, plan: Plan, strict: bool, as_json: bool) -> None:
    from recmesh_cli import screen
    from recmesh_cli.failures import FAILED, STOPPED

    try:
        with session_of(ctx) as session:
            plan.carry_out(session)
    except KeyboardInterrupt:
        screen.note("Stopped. What is counted below is written; run it again to go on.")
        raise typer.Exit(STOPPED) from None
    finally:
        if as_json:
            screen.document(plan.document())
        for tally in () if as_json else plan.tallies:
            screen.say(tally.sentence())
    if plan.refused and (strict or not plan.written):
        raise typer.Exit(FAILED)


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import")(import_)
