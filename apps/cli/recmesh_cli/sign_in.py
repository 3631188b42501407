"""Calls as who is signed in."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from recmesh_cli.connection import Connection
from recmesh_cli.store import SignIn, Store, folder
from recmesh_client import ApiKey, Client, Token, Unauthenticated

KEY_VARIABLE = "RECMESH_API_KEY"
_EARLY_SECONDS = 60.0


class Session:
    """A client that is signed in.

    Args:
        connection: Where.
        client: Makes the calls.
        store: Where the sign-in is kept; None when the client keeps itself signed in.
        access_token: The token that the client has.
    """

    def __init__(
        self, connection: Connection, client: Client, store: Store | None, access_token: str = ""
    ) -> None:
        self.client = client
        self._connection = connection
        self._store = store
        self._held = access_token

    def renew(self) -> None:
        """Before calls that come much later than the last: renews the access token when it is about to end.

        Raises:
            Unauthenticated: The sign-in has ended.
        """
        if self._store is None:
            return
        token = renewed(self._connection, self._store).access_token
        if token != self._held:
            self.client.sign_in(Token(token))
            self._held = token


@contextmanager
def signed_in(connection: Connection) -> Iterator[Session]:
    """A session, by the API key of the environment or the sign-in that is kept. Raises Unauthenticated without one."""
    key = os.environ.get(KEY_VARIABLE, "")
    store = Store(folder())
    token = ""
    if not key:
        kept = renewed(connection, store)
        key, token = kept.api_key, kept.access_token
    if key:
        with connection.client(ApiKey(key)) as client:
            yield Session(connection, client, None)
    else:
        # The client never holds the refresh token: another command may need it meanwhile.
        with connection.client(Token(token)) as client:
            yield Session(connection, client, store, token)


def renewed(connection: Connection, store: Store) -> SignIn:
    """The sign-in that is kept, good for a while. A new one is kept before it is used. Raises Unauthenticated."""
    target = connection.targets.auth
    kept = _kept(store, target)
    if not _due(kept):
        return kept
    with store.locked():
        # Another command may have been faster.
        kept = _kept(store, target)
        if _due(kept):
            with connection.client(Token("", kept.refresh_token)) as client:
                kept = sign_in_of(client.token())
            store.put(target, kept)
    return kept


def sign_in_of(token: Token, *, fresh: bool = True) -> SignIn:
    """What to keep of tokens.

    Args:
        token: The tokens.
        fresh: They were made just now: how long they last is counted from here, whatever this machine's clock says.
    """
    said = _claims(token.access_token)
    renew_at = 0.0
    if said is not None and token.refresh_token:
        made, ends = said
        life = ends - made
        begun = time.time() if fresh else made
        renew_at = begun + max(life - _EARLY_SECONDS, life / 2)
    return SignIn(token.access_token, token.refresh_token, renew_at)


def _kept(store: Store, target: str) -> SignIn:
    kept = store.get(target)
    if kept is None:
        raise Unauthenticated(f"Nobody is signed in at {target}.")
    return kept


def _due(kept: SignIn) -> bool:
    return bool(kept.renew_at and kept.refresh_token) and time.time() >= kept.renew_at


def _claims(token: str) -> tuple[float, float] | None:
    """When a token was made and when it ends. It is not verified: that is the services' part."""
    try:
        payload = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(said["iat"]), float(said["exp"])
    except (ValueError, LookupError, TypeError):
        return None
