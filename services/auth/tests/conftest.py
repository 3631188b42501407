from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import CursorResult, text, update

from localmesh.databases import PostgresServer
from recmesh.auth.v1.api_key_service_pb2_grpc import ApiKeyServiceStub
from recmesh.auth.v1.auth_service_pb2 import (
    ExchangeApiKeyRequest,
    LoginRequest,
    RefreshTokenRequest,
    RegisterRequest,
    TokenPair,
)
from recmesh.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from recmesh.auth.v1.user_pb2 import User
from recmesh.auth.v1.user_service_pb2 import GetUserRequest
from recmesh.auth.v1.user_service_pb2_grpc import UserServiceStub
from recmesh_auth.accounts.service import AccountService
from recmesh_auth.models import SCHEMA, RefreshToken, SignIn
from recmesh_auth.servicer import services
from recmesh_auth.sign_ins.keys import SigningKeys
from recmesh_auth.sign_ins.passwords import Passwords
from recmesh_auth.sign_ins.service import Lifetimes, SignInService
from recmesh_kit import migrations
from recmesh_kit.database import Database
from recmesh_kit.testing import running
from recmesh_kit.tokens import TokenVerifier

if TYPE_CHECKING:
    from recmesh.auth.v1.api_key_service_pb2_grpc import ApiKeyServiceAsyncStub
    from recmesh.auth.v1.auth_service_pb2_grpc import AuthServiceAsyncStub
    from recmesh.auth.v1.user_service_pb2_grpc import UserServiceAsyncStub

PASSWORD = "correct horse battery"
ADMIN = "root@example.com"
WORKER_KEY = "rmk_worker_a-secret_with_lines"
_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
Metadata = tuple[tuple[str, str], ...]


def write_key(folder: Path, name: str, age_seconds: float = 0) -> Path:
    """A new signing key, in a file that is as old as told."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(pem)
    age(path, age_seconds)
    return path


def age(path: Path, seconds: float) -> None:
    then = datetime.now(UTC).timestamp() - seconds
    os.utime(path, (then, then))


def signed_in(pair: TokenPair) -> Metadata:
    return (("authorization", f"Bearer {pair.access_token}"),)


@dataclass
class Auth:
    """A running auth service with empty tables."""

    auth: AuthServiceAsyncStub
    users: UserServiceAsyncStub
    api_keys: ApiKeyServiceAsyncStub
    accounts: AccountService
    sign_ins: SignInService
    keys: SigningKeys
    database: Database

    async def register(self, email: str, password: str = PASSWORD) -> User:
        return await self.auth.Register(RegisterRequest(email=email, password=password))

    async def login(self, email: str, password: str = PASSWORD) -> TokenPair:
        return await self.auth.Login(LoginRequest(email=email, password=password))

    async def refresh(self, pair: TokenPair) -> TokenPair:
        return await self.auth.RefreshToken(RefreshTokenRequest(refresh_token=pair.refresh_token))

    async def admin(self) -> Metadata:
        """The call metadata of the deployment's first admin."""
        await self.accounts.ensure_admin(ADMIN, PASSWORD)
        return signed_in(await self.login(ADMIN))

    async def person(self, email: str) -> tuple[User, Metadata]:
        """A new account, signed in."""
        user = await self.register(email)
        return user, signed_in(await self.login(email))

    async def service(self) -> Metadata:
        """The call metadata of another service."""
        return signed_in(await self.auth.ExchangeApiKey(ExchangeApiKeyRequest(api_key=WORKER_KEY)))

    async def get(self, name: str, metadata: Metadata) -> User:
        return await self.users.GetUser(GetUserRequest(name=name), metadata=metadata)

    async def sql(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        """Runs a statement, and answers its rows."""
        async with self.database.transaction() as session:
            result = await session.execute(text(statement), values)
            assert isinstance(result, CursorResult)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def pass_time(self, period: timedelta) -> None:
        """Makes all that is kept of sign-ins older."""
        for table in (SignIn, RefreshToken):
            async with self.database.transaction() as session:
                await session.execute(update(table).values(expire_time=table.expire_time - period))

    async def somebody_waits(self) -> None:
        """Returns once a transaction waits for another's lock."""
        async with asyncio.timeout(60):
            while await self.sql(_WAITING) == [(0,)]:  # noqa: ASYNC110 - the server does not tell
                await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
async def database_url(postgres: PostgresServer, database_name: str) -> str:
    """The service's own URL of a migrated database."""
    urls = await postgres.create_database(f"{database_name}_auth")
    url = urls["recmesh_auth"]
    await migrations.migrate(url, "recmesh_auth", SCHEMA)
    return url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(
        database_url, pool_size=10, timeout_seconds=60, application_name="test"
    ) as database:
        yield database


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "signing"
    folder.mkdir()
    write_key(folder, "20250101T000000Z")
    return folder


@pytest.fixture
async def service(database: Database, keys_dir: Path) -> AsyncIterator[Auth]:
    keys = SigningKeys(keys_dir)
    await keys.reload()
    async with Passwords() as passwords:
        accounts = AccountService(database, passwords)
        sign_ins = SignInService(
            database,
            passwords,
            keys,
            Lifetimes(access=600, refresh=3600),
            {"worker": hashlib.sha256(WORKER_KEY.encode()).hexdigest()},
        )
        served = services(accounts, sign_ins, keys)
        async with running(served, verifier=TokenVerifier(keys)) as channel:
            started = Auth(
                AuthServiceStub(channel),
                UserServiceStub(channel),
                ApiKeyServiceStub(channel),
                accounts,
                sign_ins,
                keys,
                database,
            )
            await started.sql("TRUNCATE users CASCADE")
            yield started
