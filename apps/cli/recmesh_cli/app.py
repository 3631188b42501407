"""The command `recmesh`. The SDK is imported by the commands that call, so that help comes at once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from recmesh_cli.commands import admin, asking, catalogs, importing, people, signing

option = partial(typer.Option, rich_help_panel="Where the services are")
app = typer.Typer(
    name="recmesh",
    help="Recommendations from the command line: ask, search, rate, import.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def connect(
    ctx: typer.Context,
    target: Annotated[
        str, option(metavar="HOST:PORT", help="One address for all services, an ingress.")
    ] = "",
    auth_target: Annotated[
        str,
        option(
            metavar="HOST:PORT", envvar="RECMESH_AUTH_TARGET", help="Address of the auth service."
        ),
    ] = "localhost:50051",
    catalog_target: Annotated[
        str,
        option(
            metavar="HOST:PORT",
            envvar="RECMESH_CATALOG_TARGET",
            help="Address of the catalog service.",
        ),
    ] = "localhost:50052",
    recommender_target: Annotated[
        str,
        option(
            metavar="HOST:PORT",
            envvar="RECMESH_RECOMMENDER_TARGET",
            help="Address of the recommender.",
        ),
    ] = "localhost:50053",
    tls: Annotated[bool, option("--tls", envvar="RECMESH_TLS", help="Connect by TLS.")] = False,
    ca: Annotated[
        Path | None,
        option(envvar="RECMESH_TLS_CA", help="Authorities to trust, PEM; implies --tls."),
    ] = None,
    certificate: Annotated[
        Path | None,
        option(envvar="RECMESH_TLS_CERTIFICATE", help="Own certificate, PEM; needs --key."),
    ] = None,
    key: Annotated[
        Path | None, option(envvar="RECMESH_TLS_KEY", help="Its private key, PEM.")
    ] = None,
    server_name: Annotated[
        str,
        option(envvar="RECMESH_TLS_SERVER_NAME", help="Name that the server's certificate has."),
    ] = "",
    timeout: Annotated[float, option(min=0.1, help="Seconds that a call may take.")] = 30.0,
) -> None:
    """Recommendations from the command line: ask, search, rate, import."""

    def connection() -> object:
        from recmesh_cli.connection import Connection
        from recmesh_cli.failures import UsageError
        from recmesh_client import Targets, Tls

        each = Targets(auth_target, catalog_target, recommender_target)
        targets = Targets.one(target) if target else each
        try:
            secured = Tls(ca, certificate, key, server_name)
        except ValueError as error:
            raise UsageError(str(error)) from None
        wanted = tls or ca or certificate or server_name
        return Connection(targets, secured if wanted else None, timeout)

    ctx.obj = connection


for commands in (signing, asking, people, catalogs, importing, admin):
    commands.add_to(app)
