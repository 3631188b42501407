"""`admin`: `queues`, `dead-letters`, `redrive` and `verify`, for those who run a deployment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from recmesh_cli.commands.context import AsJson, Catalog, session_of

if TYPE_CHECKING:
    from rich.table import Table

    from recmesh_client import DeadLetter, IndexComparison, QueueStats

ASKS_ABOVE = 50
"""More jobs than this are put back only after a question, or with --yes."""
NOTHING = "\u2014"


def queues(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what waits and who works on it."""
    from recmesh_cli import documents, screen

    with session_of(ctx) as session:
        stats = session.client.get_queue_stats()
    if as_json:
        screen.document(documents.plain(stats))
        return
    _show_queues(stats)


def _show_queues(stats: QueueStats) -> None:
    from recmesh_cli import screen

    known = stats.broker_reachable
    table = _table("queue", "waiting", "in hand", "consumers", "oldest")
    for queue in stats.queues:
        counts = (queue.ready, queue.consumers)
        waiting, consumers = (f"{count:,}" if known else "?" for count in counts)
        in_hand = f"{queue.unacknowledged:,}"
        _row(table, queue.id, waiting, in_hand, consumers, _age(queue.oldest_age))
    screen.out().print(table)
    given_up = f"{stats.dead_letters:,} given up" if stats.dead_letters else "none given up"
    screen.say(
        f"{stats.unfinished:,} of at most {stats.admission_limit:,} jobs unfinished; {given_up}."
    )
    if not known:
        screen.note("The broker is away: what waits there, and for whom, is not known.")
    if stats.dead_letters:
        screen.note("recmesh admin dead-letters shows what was given up, and why.")


def dead_letters(
    ctx: typer.Context,
    catalog: Annotated[
        str, typer.Option(metavar="CATALOG", help="Of this catalog; of all by default.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the jobs that were given up, the newest first, and why."""
    from itertools import islice

    from recmesh_cli import documents, screen

    with session_of(ctx) as session:
        pages = session.client.list_dead_letters(catalog=catalog, page_size=min(limit, 100))
        found = list(islice(pages, limit))
    if as_json:
        letters = [{**documents.plain(one), "name": one.recommendation.name} for one in found]
        screen.document({"dead_letters": letters})
        return
    if not found:
        screen.say("Nothing was given up.")
        return
    _show_letters(found)


def _show_letters(found: Sequence[DeadLetter]) -> None:
    from recmesh_cli import screen

    for one in found:
        job = one.recommendation
        why = f"{job.error.reason.value}: {job.error.message}" if job.error else NOTHING
        back = f", put back {_time(one.redrive_time)}" if one.redrive_time else ""
        screen.say(f"{_time(one.create_time)}, attempt {job.attempt_count}{back}: {why}")
        # Alone in its line, to be copied.
        screen.say(f"  {job.name}")
    left = [one.recommendation for one in found if one.redrive_time is None]
    reasons = [job.error.reason.name for job in left if job.error]
    if reasons:
        screen.note(
            "Once the cause is gone: recmesh admin redrive JOB… puts them back, "
            f"or --filter 'reason = ERROR_REASON_{reasons[0]}'."
        )


def redrive(
    ctx: typer.Context,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB…", help="Names, as dead-letters shows them."),
    ] = None,
    filter: Annotated[  # noqa: A002 - so it is called everywhere
        str,
        typer.Option(
            metavar="FILTER",
            help="By catalog, reason, create_time, such as 'reason = ERROR_REASON_INTERNAL'; '*' for all.",
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask, also above {ASKS_ABOVE} jobs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put jobs that were given up into the queue again."""
    from recmesh_cli import screen
    from recmesh_cli.failures import UsageError

    if bool(jobs) == bool(filter):
        raise UsageError("name jobs, or say which by --filter")
    asks = not yes and (bool(filter) or len(jobs or ()) > ASKS_ABOVE)
    count = 0
    with session_of(ctx) as session:
        client = session.client
        if dry_run or asks:
            count = client.redrive_dead_letters(jobs or (), filter=filter, dry_run=True)
        if not dry_run:
            if asks and count > ASKS_ABOVE:
                _ask(count)
            count = client.redrive_dead_letters(jobs or (), filter=filter)
    if as_json:
        screen.document({"redriven": count, "dry_run": dry_run})
    elif dry_run:
        screen.say(f"{_jobs(count)} would be put back.")
    else:
        screen.say(f"{_jobs(count)} put back." if count else "There is nothing to put back.")


def _ask(count: int) -> None:
    from recmesh_cli.failures import UsageError

    if not sys.stdin.isatty():
        raise UsageError(f"{_jobs(count)} would be put back: say so with --yes")
    typer.confirm(f"Put back {_jobs(count)}?", abort=True, err=True)


def verify(
    ctx: typer.Context,
    catalog: Catalog,
    repair: Annotated[bool, typer.Option("--repair", help="Have repaired what differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what recommendations are made from with the catalog.

    Exits with 1 when something differs and is not repaired.
    """
    from recmesh_cli import documents, screen
    from recmesh_cli.failures import FAILED

    with session_of(ctx) as session, screen.err().status("Comparing …") as status:
        for seen in session.client.verify_index(catalog, repair=repair):
            checked = f"{seen.items.checked:,} items, {seen.interactions.checked:,} interactions"
            status.update(f"Comparing: {checked}, {seen.differing:,} differ")
    if as_json:
        screen.document({"catalog": catalog, **documents.plain(seen)})
    else:
        _show_comparison(catalog, seen)
    if seen.differing > seen.repaired:
        raise typer.Exit(FAILED)


def _show_comparison(catalog: str, seen: IndexComparison) -> None:
    from recmesh_cli import screen

    table = _table("", "compared", "missing", "stale", "surplus", "repaired")
    for name, found in (("items", seen.items), ("interactions", seen.interactions)):
        counts = (found.checked, found.missing, found.stale, found.surplus, found.repaired)
        _row(table, name, *(f"{count:,}" for count in counts))
    screen.out().print(table)
    for name, found in (("Items", seen.items), ("Interactions", seen.interactions)):
        if found.samples:
            more = ", …" if found.differing > len(found.samples) else ""
            screen.say(f"{name} that differ: {', '.join(found.samples)}{more}")
    if not seen.differing:
        screen.say("Nothing differs.")
    elif seen.differing > seen.repaired:
        screen.note(
            "What was written in the last seconds may be on its way. "
            f"recmesh admin verify {catalog} --repair has the rest repaired."
        )
    else:
        screen.note(
            f"Told once more; in place within seconds: recmesh admin verify {catalog} says so then."
        )


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _row(table: Table, *cells: str) -> None:
    from rich.text import Text

    from recmesh_cli.screen import clean

    table.add_row(*(Text(clean(cell)) for cell in cells))


def _age(age: timedelta | None) -> str:
    """A length of time in its two largest units, such as `2 h 5 min`."""
    if age is None:
        return NOTHING
    seconds = max(0, int(age.total_seconds()))
    sizes = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in sizes:
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _time(at: datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else NOTHING


def _jobs(count: int) -> str:
    return f"{count:,} job" + ("" if count == 1 else "s")


def add_to(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(help="Look after a deployment; for admins.", no_args_is_help=True)
    group.command()(queues)
    group.command("dead-letters")(dead_letters)
    group.command()(redrive)
    group.command()(verify)
    app.add_typer(group, name="admin")
