import grpc
import pytest
from argon2 import PasswordHasher

from recmesh_kit.testing import reason_of, status_of
from services.auth.tests.conftest import PASSWORD, Auth, signed_in


async def refusal(service: Auth, email: str, password: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.login(email, password)
    return caught.value


async def test_login_answers_a_token_for_the_account(service: Auth) -> None:
    user = await service.register("ada@example.com")
    pair = await service.login("ada@example.com")
    assert (pair.token_type, pair.expires_in) == ("Bearer", 600)
    assert await service.get("users/me", signed_in(pair)) == user


async def test_case_and_space_of_the_address_do_not_matter(service: Auth) -> None:
    await service.register("Ada@Example.com")
    assert (await service.login(" ada@EXAMPLE.com ")).access_token


async def test_wrong_password_is_refused(service: Auth) -> None:
    await service.register("ada@example.com")
    error = await refusal(service, "ada@example.com", f"{PASSWORD}!")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(error) == "CREDENTIALS_INVALID"


async def test_unknown_address_looks_like_a_wrong_password(service: Auth) -> None:
    await service.register("ada@example.com")
    wrong = await refusal(service, "ada@example.com", "something else")
    unknown = await refusal(service, "bob@example.com", "something else")
    assert status_of(wrong) == status_of(unknown)


async def test_account_without_password_cannot_log_in(service: Auth) -> None:
    await service.register("ada@example.com")
    await service.sql("UPDATE users SET password_hash = NULL")
    assert reason_of(await refusal(service, "ada@example.com", PASSWORD)) == "CREDENTIALS_INVALID"


async def test_hash_with_other_parameters_is_renewed(service: Auth) -> None:
    await service.register("ada@example.com")
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await service.sql("UPDATE users SET password_hash = :old", old=old)
    await service.login("ada@example.com")
    [(kept,)] = await service.sql("SELECT password_hash FROM users")
    assert "m=19456,t=2,p=1" in str(kept)
    assert (await service.login("ada@example.com")).access_token
