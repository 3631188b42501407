"""`login` and `logout`."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from recmesh_cli.commands.context import connection_of


def login(
    ctx: typer.Context,
    email: Annotated[str, typer.Option(help="Of the account; asked for when not given.")] = "",
    register: Annotated[bool, typer.Option("--register", help="Open the account first.")] = False,
    api_key: Annotated[
        bool, typer.Option("--api-key", help="Sign in by an API key, asked for instead.")
    ] = False,
    token_stdin: Annotated[
        bool,
        typer.Option(
            "--token-stdin",
            help="Read an access token and, on a second line, a refresh token.",
        ),
    ] = False,
) -> None:
    """Sign in, and stay signed in on this machine.

    The password or API key is asked for or, when standard input is not a terminal, read from its first line.
    """
    from recmesh_cli.failures import UsageError
    from recmesh_cli.screen import say
    from recmesh_cli.sign_in import sign_in_of
    from recmesh_cli.store import SignIn, Store, folder
    from recmesh_client import ApiKey, Credentials, Password, Token

    if api_key + token_stdin + register > 1 or (email and (api_key or token_stdin)):
        raise UsageError("--api-key, --token-stdin and an email with a password exclude each other")
    connection = connection_of(ctx)
    credentials: Credentials
    if token_stdin:
        try:
            credentials = Token(*_lines()[:2])
        except (ValueError, TypeError):
            raise UsageError("standard input holds no access token") from None
        who = "by a token"
    elif api_key:
        credentials = ApiKey(_secret("API key: "))
        who = "by an API key"
    else:
        email = email or _asked("Email: ")
        password = _secret("Password: ", again=register)
        credentials = Password(email, password)
        who = f"as {email}"
    with connection.client() as client:
        if isinstance(credentials, Password) and register:
            client.register(credentials.email, credentials.password)
        client.sign_in(credentials)
        if isinstance(credentials, Token):
            client.get_user()
        if isinstance(credentials, ApiKey):
            kept = SignIn(api_key=credentials.key)
        else:
            kept = sign_in_of(client.token(), fresh=isinstance(credentials, Password))
    store = Store(folder())
    with store.locked():
        store.put(connection.targets.auth, kept)
    say(f"Signed in {who} at {connection.targets.auth}.")


def logout(ctx: typer.Context) -> None:
    """End the sign-in, here and at the service."""
    from recmesh_cli.screen import note, say
    from recmesh_cli.store import Store, folder
    from recmesh_client import RecmeshError, Token

    connection = connection_of(ctx)
    target = connection.targets.auth
    store = Store(folder())
    with store.locked():
        kept = store.get(target)
        if kept is None:
            say(f"Nobody was signed in at {target}.")
            return
        store.put(target, None)
    if kept.refresh_token:
        try:
            with connection.client(Token(kept.access_token, kept.refresh_token)) as client:
                client.sign_out()
        except RecmeshError as error:
            note(f"The sign-in is forgotten here; the service was not told: {error.message}")
    say(f"Signed out at {target}.")


def _asked(prompt: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return str(typer.prompt(prompt, prompt_suffix="", err=True)).strip()


def _secret(prompt: str, *, again: bool = False) -> str:
    from recmesh_cli.failures import UsageError

    if not sys.stdin.isatty():
        secret = sys.stdin.readline().rstrip("\r\n")
    else:
        secret = getpass.getpass(prompt)
        if again and secret != getpass.getpass("Once more: "):
            raise UsageError("the two are not the same")
    if not secret:
        raise UsageError(f"{prompt.rstrip(': ').lower()} is empty")
    return secret


def _lines() -> list[str]:
    return [line.strip() for line in sys.stdin.read().split("\n") if line.strip()]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(login)
    app.command()(logout)
