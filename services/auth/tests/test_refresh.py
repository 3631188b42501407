import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from recmesh.auth.v1.auth_service_pb2 import LogoutRequest, TokenPair
from recmesh.auth.v1.user_pb2 import RoleGrant
from recmesh.auth.v1.user_service_pb2 import SetUserRolesRequest
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_auth.sign_ins.repository import SignInRepository
from recmesh_kit.testing import reason_of
from recmesh_kit.tokens import TokenVerifier
from services.auth.tests.conftest import Auth, signed_in

HOUR = timedelta(hours=1)


async def refusal(service: Auth, pair: TokenPair) -> str:
    """Why a pair's refresh token does not work."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.refresh(pair)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    return reason_of(caught.value)


async def logout(service: Auth, pair: TokenPair) -> None:
    await service.auth.Logout(LogoutRequest(refresh_token=pair.refresh_token))


@pytest.fixture
async def pair(service: Auth) -> TokenPair:
    await service.register("ada@example.com")
    return await service.login("ada@example.com")


async def test_refresh_answers_a_new_pair(service: Auth, pair: TokenPair) -> None:
    new = await service.refresh(pair)
    assert new.refresh_token != pair.refresh_token
    assert (await service.get("users/me", signed_in(new))).email == "ada@example.com"
    assert (await service.refresh(new)).refresh_token


async def test_used_token_is_told_to_be_reused(service: Auth, pair: TokenPair) -> None:
    await service.refresh(pair)
    assert await refusal(service, pair) == "REFRESH_TOKEN_REUSED"


async def test_reuse_ends_the_whole_sign_in(service: Auth, pair: TokenPair) -> None:
    newest = await service.refresh(await service.refresh(pair))
    await refusal(service, pair)
    assert await refusal(service, newest) == "REFRESH_TOKEN_INVALID"


async def test_reuse_leaves_other_sign_ins_alone(service: Auth, pair: TokenPair) -> None:
    other = await service.login("ada@example.com")
    await service.refresh(pair)
    await refusal(service, pair)
    assert (await service.refresh(other)).access_token


async def test_of_concurrent_uses_one_wins_and_the_sign_in_ends(
    service: Auth, pair: TokenPair
) -> None:
    results = await asyncio.gather(
        *(service.refresh(pair) for _ in range(5)), return_exceptions=True
    )
    reasons = [reason_of(r) for r in results if isinstance(r, grpc.aio.AioRpcError)]
    assert reasons == ["REFRESH_TOKEN_REUSED"] * 4
    [winner] = [r for r in results if isinstance(r, TokenPair)]
    assert await refusal(service, winner) == "REFRESH_TOKEN_INVALID"


async def test_use_waits_for_the_one_before(service: Auth, pair: TokenPair) -> None:
    digest = hashlib.sha256(pair.refresh_token.encode()).digest()
    async with service.database.transaction() as session:
        repository = SignInRepository(session)
        await repository.lock_by_token(digest)
        second = asyncio.create_task(refusal(service, pair))
        await service.somebody_waits()
        await repository.mark_used(digest, datetime.now(UTC))
    assert await second == "REFRESH_TOKEN_REUSED"


async def test_unknown_token_is_refused(service: Auth) -> None:
    assert await refusal(service, TokenPair(refresh_token="unknown")) == "REFRESH_TOKEN_INVALID"


async def test_token_runs_out(service: Auth, pair: TokenPair) -> None:
    await service.pass_time(HOUR)
    assert await refusal(service, pair) == "REFRESH_TOKEN_INVALID"


async def test_each_refresh_begins_a_new_term(service: Auth, pair: TokenPair) -> None:
    await service.pass_time(HOUR * 0.9)
    new = await service.refresh(pair)
    await service.pass_time(HOUR * 0.9)
    assert (await service.refresh(new)).access_token


async def test_new_pair_has_the_roles_of_today(service: Auth, pair: TokenPair) -> None:
    user = await service.get("users/me", signed_in(pair))
    grant = RoleGrant(role=roles.ROLE_EDITOR)
    await service.users.SetUserRoles(
        SetUserRolesRequest(name=user.name, grants=[grant]), metadata=await service.admin()
    )
    new = await service.refresh(pair)
    principal = await TokenVerifier(service.keys).verify(new.access_token)
    assert principal.roles == {roles.ROLE_USER, roles.ROLE_EDITOR}


async def test_logout_ends_the_sign_in(service: Auth, pair: TokenPair) -> None:
    await logout(service, pair)
    assert await refusal(service, pair) == "REFRESH_TOKEN_INVALID"


async def test_any_token_of_the_sign_in_ends_it(service: Auth, pair: TokenPair) -> None:
    new = await service.refresh(pair)
    await logout(service, pair)
    assert await refusal(service, new) == "REFRESH_TOKEN_INVALID"


async def test_logout_twice_and_of_nothing_succeeds(service: Auth, pair: TokenPair) -> None:
    await logout(service, pair)
    await logout(service, pair)
    await logout(service, TokenPair(refresh_token="unknown"))


async def test_only_a_hash_of_the_token_is_kept(service: Auth, pair: TokenPair) -> None:
    [(kept,)] = await service.sql("SELECT t.*::text FROM refresh_tokens t")
    assert pair.refresh_token not in str(kept)
    assert pair.refresh_token.encode().hex() not in str(kept)


async def test_what_has_run_out_is_forgotten(service: Auth, pair: TokenPair) -> None:
    await service.refresh(pair)
    await service.pass_time(HOUR)
    living = await service.login("ada@example.com")
    await service.sign_ins.sweep()
    assert await service.sql("SELECT count(*) FROM sign_ins") == [(1,)]
    assert await service.sql("SELECT count(*) FROM refresh_tokens") == [(1,)]
    assert (await service.refresh(living)).access_token


async def test_tokens_run_out_one_by_one(service: Auth, pair: TokenPair) -> None:
    await service.pass_time(HOUR * 0.9)
    new = await service.refresh(pair)
    await service.pass_time(HOUR * 0.2)
    await service.sign_ins.sweep()
    assert await service.sql("SELECT count(*) FROM refresh_tokens") == [(1,)]
    assert (await service.refresh(new)).access_token
