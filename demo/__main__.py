"""`make demo`: sign up, ask in three ways, show what comes back."""

from __future__ import annotations

import asyncio
import os
import secrets
import time

from rich.console import Console
from rich.table import Table

from demo.films import CATALOG, films
from demo.mesh import Mesh, Targets, signed_in
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Reason, Recommendation

INDEX_SECONDS = 120.0
RESULTS = 6

QUESTIONS = (
    ("a misspelt title", Query(title="spirted awy", limit=RESULTS)),
    ("a Russian title", Query(title="Сталкер", limit=RESULTS)),
    ("a few words", Query(text="a heist inside a dream", limit=RESULTS)),
)


async def main() -> None:
    """The tour."""
    console = Console(width=110)
    targets = Targets.from_environment()
    await _prepare(console, targets)
    email, password = f"ada.{secrets.token_hex(4)}@example.org", secrets.token_urlsafe(16)
    async with Mesh(targets) as mesh:
        await mesh.register(email, password)
        await mesh.login(email, password)
        console.print(f"[bold]Signed up[/bold] as {email}, with role `user`.\n")
        for what, query in QUESTIONS:
            began = time.perf_counter()
            answer = await mesh.recommend(CATALOG, query)
            _show(console, what, answer, (time.perf_counter() - began) * 1000)
    _grpcurl(console, targets)


async def _prepare(console: Console, targets: Targets) -> None:
    """Brings the films in, as the admin; a second time there is nothing to do."""
    admin = (os.environ["RECMESH_ADMIN_EMAIL"], os.environ["RECMESH_ADMIN_PASSWORD"])
    items = films()
    async with signed_in(targets, *admin) as mesh:
        await mesh.ensure_catalog(CATALOG, "Films")
        done = await mesh.import_items(CATALOG, items)
        console.print(
            f"\n[bold]Imported[/bold] {len(items)} films: {done.created_count} new, "
            f"{done.updated_count} changed, {done.unchanged_count} known, {done.failed_count} refused."
        )
        for error in done.errors:
            console.print(f"  row {error.row}: {error.message}")
        await mesh.wait_searchable(CATALOG, items, INDEX_SECONDS)


def _show(console: Console, what: str, answer: Recommendation, milliseconds: float) -> None:
    seed = answer.query.title or answer.query.text
    console.print(f'By {what}: [bold]"{seed}"[/bold] ({milliseconds:.0f} ms)')
    if answer.resolved_title:
        sure = f"{answer.resolve_confidence:.0%} sure"
        console.print(f"taken as [bold]{answer.resolved_title}[/bold], {sure}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Film", style="cyan")
    table.add_column("Score", justify="right")
    table.add_column("Why")
    for result in answer.results:
        table.add_row(
            result.title, f"{result.score:.2f}", "; ".join(map(_why, result.reasons)) or "—"
        )
    console.print(table, "")


def _why(reason: Reason) -> str:
    match reason.type:
        case Reason.TYPE_SIMILAR_TO:
            shared = [*(f"by {name}" for name in reason.directors), *reason.cast]
            shared += [genre.lower() for genre in reason.genres]
            return f"like {reason.title}" + (f" ({', '.join(shared)})" if shared else "")
        case Reason.TYPE_MATCHES_TEXT:
            return "matches the words"
        case Reason.TYPE_POPULAR:
            return "popular"
        case _:
            return Reason.Type.Name(reason.type).removeprefix("TYPE_").lower().replace("_", " ")


def _grpcurl(console: Console, targets: Targets) -> None:
    """What to paste when the mesh runs (`make up`)."""
    plain = "grpcurl -plaintext"
    ask = (
        '{"parent": "catalogs/films", "recommendation": {"query": {"title": "Alien", "limit": 5}}}'
    )
    console.print("[bold]By hand[/bold], after `make up`, with grpcurl and jq:\n")
    account = '{"email": "me@example.org", "password": "correct horse"}'
    auth = f"{targets.auth} recmesh.auth.v1.AuthService"
    recommend = f"{targets.recommender} recmesh.recommender.v1.RecommenderService/Recommend"
    lines = (
        f"{plain} {targets.recommender} list",
        f"{plain} -d '{account}' {auth}/Register",
        f"TOKEN=$({plain} -d '{account}' {auth}/Login | jq -r .accessToken)",
        f"{plain} -H \"authorization: Bearer $TOKEN\" -d '{ask}' {recommend}",
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    asyncio.run(main())
