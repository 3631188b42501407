"""The rules about signing in: passwords, refresh tokens, keys of programs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_auth.accounts.repository import AccountRepository
from recmesh_auth.errors import (
    ApiKeyInvalid,
    CredentialsInvalid,
    RefreshTokenInvalid,
    RefreshTokenReused,
)
from recmesh_auth.sign_ins.keys import SigningKeys
from recmesh_auth.sign_ins.passwords import Passwords
from recmesh_auth.sign_ins.repository import SignInRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_kit.principal import Principal

log = structlog.get_logger()

_SWEEP_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long tokens are good for, in seconds."""

    access: int
    refresh: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in answers.

    Attributes:
        access_token: A JWT.
        refresh_token: Empty for a program.
        expires_in: Seconds that the access token is good for.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


class SignInService:
    """Signs people and programs in.

    Args:
        database: Where sign-ins are kept.
        passwords: Checks passwords.
        keys: Sign the access tokens.
        lifetimes: Of the tokens.
        service_keys: SHA-256, in hex, of each program's key, by the program's name.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        keys: SigningKeys,
        lifetimes: Lifetimes,
        service_keys: Mapping[str, str],
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._keys = keys
        self._lifetimes = lifetimes
        self._service_keys = dict(service_keys)

    async def login(self, email: str, password: str) -> Tokens:
        """Signs an account in.

        Raises:
            CredentialsInvalid: Unknown address or wrong password. The two take the same time.
        """
        async with self._database.transaction() as session:
            credentials = await AccountRepository(session).credentials(email)
        kept = credentials.password_hash if credentials else None
        # Outside of a transaction: it may wait for its turn, and must not hold a connection.
        if not await self._passwords.matches(kept, password) or not credentials or not kept:
            raise CredentialsInvalid
        renewed = await self._passwords.hash(password) if self._passwords.outdated(kept) else None
        async with self._database.transaction() as session:
            accounts = AccountRepository(session)
            account = await accounts.get_if_unchanged(credentials)
            if account is None:
                raise CredentialsInvalid
            if renewed:
                await accounts.set_password_hash(account.id, renewed)
            sign_ins = SignInRepository(session)
            sign_in_id = str(uuid7())
            await sign_ins.begin(sign_in_id, account.id, datetime.now(UTC))
            refresh_token = await self._next_token(sign_ins, sign_in_id)
        return self._tokens(account.principal, refresh_token)

    async def refresh(self, refresh_token: str) -> Tokens:
        """Trades a refresh token for a new pair, which has the roles that the account has now.

        Raises:
            RefreshTokenInvalid: Unknown, expired, or its sign-in was ended.
            RefreshTokenReused: It was traded before. Its sign-in is ended by that.
        """
        async with self._database.transaction() as session:
            tokens = await self._rotate(
                AccountRepository(session), SignInRepository(session), _digest(refresh_token)
            )
        # Raised only now, for the end of the sign-in has to be committed.
        if tokens is None:
            raise RefreshTokenReused
        return tokens

    async def logout(self, refresh_token: str) -> None:
        """Ends the sign-in that a refresh token belongs to, if there is one."""
        async with self._database.transaction() as session:
            sign_ins = SignInRepository(session)
            token = await sign_ins.lock_by_token(_digest(refresh_token))
            if token is not None:
                await sign_ins.revoke(token.sign_in_id, datetime.now(UTC))

    def exchange_api_key(self, api_key: str) -> Tokens:
        """Signs a program in by its key, `rmk_<name>_<secret>`.

        Raises:
            ApiKeyInvalid: It is no program's key.
        """
        digest = _digest(api_key).hex()
        for name, expected in self._service_keys.items():
            if hmac.compare_digest(digest, expected) and api_key.startswith(f"rmk_{name}_"):
                return self._tokens(Principal(name, frozenset({roles.ROLE_SERVICE})), "")
        raise ApiKeyInvalid

    async def sweep(self) -> None:
        """Forgets what has run out, a bounded number of rows a transaction."""
        now = datetime.now(UTC)
        deleted = _SWEEP_ROWS
        while deleted == _SWEEP_ROWS:
            async with self._database.transaction() as session:
                deleted = await SignInRepository(session).delete_expired_tokens(now, _SWEEP_ROWS)
        deleted = _SWEEP_ROWS
        while deleted == _SWEEP_ROWS:
            async with self._database.transaction() as session:
                deleted = await SignInRepository(session).delete_expired(now, _SWEEP_ROWS)

    async def _rotate(
        self, accounts: AccountRepository, sign_ins: SignInRepository, digest: bytes
    ) -> Tokens | None:
        """The next pair; None for a token that was used before, whose sign-in is ended then."""
        now = datetime.now(UTC)
        token = await sign_ins.lock_by_token(digest)
        if token is None or token.expire_time <= now:
            raise RefreshTokenInvalid
        if token.used:
            await sign_ins.revoke(token.sign_in_id, now)
            log.warning("refresh token reused", account=token.account_id, sign_in=token.sign_in_id)
            return None
        if token.revoked:
            raise RefreshTokenInvalid
        account = await accounts.get(token.account_id)
        assert account is not None, "a sign-in goes with its account"
        await sign_ins.mark_used(digest, now)
        return self._tokens(account.principal, await self._next_token(sign_ins, token.sign_in_id))

    async def _next_token(self, sign_ins: SignInRepository, sign_in_id: str) -> str:
        """A new refresh token of a sign-in: 256 random bits, of which only the hash is kept."""
        token = secrets.token_urlsafe(32)
        expire_time = datetime.now(UTC) + timedelta(seconds=self._lifetimes.refresh)
        await sign_ins.add_token(sign_in_id, _digest(token), expire_time)
        return token

    def _tokens(self, principal: Principal, refresh_token: str) -> Tokens:
        access_token = self._keys.signer.sign(principal, self._lifetimes.access)
        return Tokens(access_token, refresh_token, self._lifetimes.access)


def _digest(secret: str) -> bytes:
    """SHA-256, without a salt: what it is taken of is random."""
    return hashlib.sha256(secret.encode()).digest()
