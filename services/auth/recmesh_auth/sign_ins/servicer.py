"""The methods of `AuthService` that are about signing in."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from recmesh.auth.v1 import auth_service_pb2 as messages
from recmesh_auth.sign_ins import converters
from recmesh_auth.sign_ins.keys import SigningKeys
from recmesh_auth.sign_ins.service import SignInService
from recmesh_kit.chain.chain import RpcContext


class SignInMethods:
    """Convert, call, convert."""

    def __init__(self, sign_ins: SignInService, keys: SigningKeys) -> None:
        self._sign_ins = sign_ins
        self._keys = keys

    async def Login(
        self, request: messages.LoginRequest, context: RpcContext
    ) -> messages.TokenPair:
        """Signs an account in."""
        return converters.token_pair(await self._sign_ins.login(request.email, request.password))

    async def RefreshToken(
        self, request: messages.RefreshTokenRequest, context: RpcContext
    ) -> messages.TokenPair:
        """Trades a refresh token for a new pair."""
        return converters.token_pair(await self._sign_ins.refresh(request.refresh_token))

    async def Logout(self, request: messages.LogoutRequest, context: RpcContext) -> Empty:
        """Ends a sign-in."""
        await self._sign_ins.logout(request.refresh_token)
        return Empty()

    async def GetJwks(self, request: messages.GetJwksRequest, context: RpcContext) -> messages.Jwks:
        """The public keys."""
        return converters.jwks(self._keys.published)

    async def ExchangeApiKey(
        self, request: messages.ExchangeApiKeyRequest, context: RpcContext
    ) -> messages.TokenPair:
        """Signs a program in."""
        return converters.token_pair(self._sign_ins.exchange_api_key(request.api_key))
