"""A sign-in that lasts: the access token is renewed shortly before it ends."""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from typing import TYPE_CHECKING

from recmesh.auth.v1 import auth_service_pb2 as pb
from recmesh_client.credentials import ApiKey, Credentials, Password, Token
from recmesh_client.errors import Cancelled, RecmeshError, Unauthenticated, Unavailable
from recmesh_client.reasons import ErrorReason
from recmesh_client.wire.caller import Caller, Metadata
from recmesh_client.wire.retry import Deadline

if TYPE_CHECKING:
    from recmesh.auth.v1.auth_service_pb2_grpc import AuthServiceAsyncStub

RENEW_SECONDS = 60.0
"""How long before it ends a token is renewed; half of its life for one that does not live that long."""
AGAIN_SECONDS = 5.0
"""How long after a failed renewal the next is tried, while the token is good yet."""


class Session:
    """Who the calls are made as.

    Args:
        auth: The auth service.
        caller: Makes its calls, without a token.
        credentials: How to sign in, at the first call; None for nobody.
    """

    def __init__(
        self, auth: AuthServiceAsyncStub, caller: Caller, credentials: Credentials | None
    ) -> None:
        self._auth = auth
        self._caller = caller
        self._renewal: asyncio.Task[RecmeshError | None] | None = None
        self._begin(credentials)

    def _begin(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._metadata: Metadata = ()
        self._access = self._refresh = ""
        self._renew_at = self._expires_at = math.inf
        match credentials:
            case Token("", refresh):
                self._refresh = refresh
                self._renew_at = self._expires_at = -math.inf
            case Token():
                # When it ends is not known: the service will say so.
                self._hold(credentials.access_token, credentials.refresh_token)
            case Password() | ApiKey():
                self._renew_at = self._expires_at = -math.inf

    def _hold(self, access: str, refresh: str) -> None:
        self._access, self._refresh = access, refresh
        self._metadata = (("authorization", f"Bearer {access}"),)

    async def metadata(self, deadline: Deadline) -> Metadata:
        """The token in force, as metadata. Raises what comes of a sign-in, where one is needed."""
        if monotonic() >= self._renew_at:
            renewal = self._renewing()
            # One that is good yet serves while the next is fetched.
            if monotonic() >= self._expires_at:
                await _outcome(renewal, deadline)
        return self._metadata

    def refused(self, metadata: Metadata) -> bool:
        """Takes note that a token was refused; says whether another can be had."""
        if not (self._refresh or isinstance(self._credentials, Password | ApiKey)):
            return False
        if metadata is self._metadata:
            self._renew_at = self._expires_at = -math.inf
        return True

    async def token(self, deadline: Deadline) -> Token:
        """The tokens in force. Raises Unauthenticated when nobody is signed in."""
        await self.metadata(deadline)
        if not self._access:
            raise Unauthenticated("Nobody is signed in.")
        return Token(self._access, self._refresh)

    async def sign_in(self, credentials: Credentials, deadline: Deadline) -> None:
        """Ends what was before on this side, and signs in. Raises SignInFailed."""
        await self.close()
        self._begin(credentials)
        await self.metadata(deadline)

    async def sign_out(self, timeout: float | None) -> None:
        """Ends the sign-in, here and at the service."""
        await self.close()
        refresh = self._refresh
        self._begin(None)
        if refresh:
            request = pb.LogoutRequest(refresh_token=refresh)
            await self._caller.unary(self._auth.Logout, request, timeout)

    async def close(self) -> None:
        """Stops a renewal in hand."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait((self._renewal,))

    def _renewing(self) -> asyncio.Task[RecmeshError | None]:
        """The renewal in hand. It is a task of its own: a caller that goes away must not lose a token that is on its
        way, because the one before works no more.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="recmesh-sign-in")
        return self._renewal

    async def _renew(self) -> RecmeshError | None:
        asked_at = monotonic()
        try:
            pair = await self._fetch()
        except RecmeshError as error:
            self._renew_at = min(monotonic() + AGAIN_SECONDS, self._expires_at)
            return error
        self._hold(pair.access_token, pair.refresh_token)
        self._expires_at = asked_at + pair.expires_in
        self._renew_at = asked_at + max(pair.expires_in - RENEW_SECONDS, pair.expires_in / 2)
        return None

    async def _fetch(self) -> pb.TokenPair:
        if self._refresh:
            request = pb.RefreshTokenRequest(refresh_token=self._refresh)
            try:
                return await self._caller.unary(self._auth.RefreshToken, request, None)
            except Unauthenticated:
                self._refresh = ""
                if not isinstance(self._credentials, Password):
                    raise
            except Unavailable:
                # Nobody knows whether that used the token up, so it is not tried again at once. Whoever needs another
                # access token now signs in anew, which may be repeated.
                if not isinstance(self._credentials, Password) or monotonic() < self._expires_at:
                    raise
        match self._credentials:
            case Password(email, password):
                login = pb.LoginRequest(email=email, password=password)
                return await self._caller.unary(self._auth.Login, login, None)
            case ApiKey(key):
                exchange = pb.ExchangeApiKeyRequest(api_key=key)
                return await self._caller.unary(self._auth.ExchangeApiKey, exchange, None)
            case _:
                raise Unauthenticated("The sign-in has ended: sign in again.")


async def _outcome(renewal: asyncio.Task[RecmeshError | None], deadline: Deadline) -> None:
    # An event loop may wake up a little too early.
    while not renewal.done():
        await asyncio.wait((renewal,), timeout=deadline.left())
    if renewal.cancelled():
        # Whoever waits here was not.
        said = "The sign-in was broken off: the client was closed, or told to sign in anew or out."
        raise Cancelled(said, reason=ErrorReason.CANCELLED)
    error = renewal.result()
    if error is not None:
        raise error
