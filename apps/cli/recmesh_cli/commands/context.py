"""What commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from recmesh_cli.connection import Connection
    from recmesh_cli.sign_in import Session

Catalog = Annotated[
    str, typer.Argument(metavar="CATALOG", help="Id of the catalog, such as films.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Filter = Annotated[
    str, typer.Option(metavar="FILTER", help="Such as 'release_year >= 1980 AND genres:Drama'.")
]
User = Annotated[str, typer.Option(metavar="ID", help="For whom, instead of who is signed in.")]


def connection_of(ctx: typer.Context) -> Connection:
    """Where the services are, as the options say."""
    return cast("Connection", ctx.obj())


@contextmanager
def session_of(ctx: typer.Context) -> Iterator[Session]:
    """A client that is signed in."""
    from recmesh_cli.sign_in import signed_in

    with signed_in(connection_of(ctx)) as session:
        yield session
