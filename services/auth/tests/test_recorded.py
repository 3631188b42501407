"""What version 1 wrote, read by the auth service of today: nobody is signed out by a new version."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recmesh.auth.v1.auth_service_pb2 import RefreshTokenRequest
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_auth.errors import ApiKeyInvalid
from recmesh_auth.sign_ins.keys import SigningKeys
from recmesh_auth.sign_ins.passwords import Passwords
from recmesh_auth.sign_ins.service import Lifetimes, SignInService
from recmesh_kit.tokens import TokenVerifier
from services.auth.tests.conftest import Auth
from tests.recorded import VERSION_1, recorded

OLD = recorded(VERSION_1)
TEXT = {
    name: value.decode()
    for name, value in OLD.items()
    if name.startswith(("text", "row password", "setting", "token"))
}
EMAIL = "ada@example.com"


@pytest.fixture
async def old_rows(service: Auth) -> Auth:
    """The service with an account and its sign-in, as version 1 stored them."""
    later = datetime.now(UTC) + timedelta(days=1)
    await service.sql(
        "INSERT INTO users (id, email, email_key, password_hash, display_name, create_time, update_time)"
        " VALUES ('ada', :email, :email, :hash, '', now(), now())",
        email=EMAIL,
        hash=TEXT["row password hash"],
    )
    await service.sql(
        "INSERT INTO sign_ins (id, user_id, create_time, expire_time) VALUES ('s', 'ada', now(), :later)",
        later=later,
    )
    await service.sql(
        "INSERT INTO refresh_tokens (hash, sign_in_id, expire_time) VALUES (:hash, 's', :later)",
        hash=bytes.fromhex(OLD["row refresh token hash"].decode()),
        later=later,
    )
    return service


async def test_a_password(old_rows: Auth) -> None:
    pair = await old_rows.login(EMAIL, TEXT["text password"])
    assert pair.access_token


async def test_a_sign_in(old_rows: Auth) -> None:
    request = RefreshTokenRequest(refresh_token=TEXT["text refresh token"])
    pair = await old_rows.auth.RefreshToken(request)
    assert await old_rows.refresh(pair)


async def test_the_key_of_a_service(service: Auth) -> None:
    async with Passwords() as passwords:
        sign_ins = SignInService(
            service.database,
            passwords,
            service.keys,
            Lifetimes(access=600, refresh=3600),
            {"worker": TEXT["setting api key hash"]},
        )
        assert sign_ins.exchange_api_key(TEXT["text api key"]).access_token
        with pytest.raises(ApiKeyInvalid):
            sign_ins.exchange_api_key(TEXT["text api key"] + "x")


async def test_an_access_token(tmp_path: Path) -> None:
    """Signed with a key of the folder that this version reads, and published under the same id."""
    (tmp_path / "20260101T000000Z.pem").write_bytes(OLD["file signing key"])
    os.utime(tmp_path / "20260101T000000Z.pem", (0, 0))
    keys = SigningKeys(tmp_path)
    await keys.reload()
    ada = await TokenVerifier(keys).verify(TEXT["token access"])
    assert (ada.id, ada.roles) == ("ada", frozenset({roles.ROLE_USER}))
    assert ada.catalog_roles == {"films": frozenset({roles.ROLE_EDITOR})}
