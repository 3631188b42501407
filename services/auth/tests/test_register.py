import asyncio

import grpc
import pytest

from recmesh.auth.v1.auth_service_pb2 import RegisterRequest
from recmesh_kit.testing import fields_of, reason_of
from services.auth.tests.conftest import PASSWORD, Auth


async def test_account_is_opened_without_grants(service: Auth) -> None:
    user = await service.register("Ada@Example.com")
    assert user.name.startswith("users/")
    assert user.email == "Ada@Example.com"
    assert not user.grants
    assert user.create_time == user.update_time
    assert user.create_time.seconds


async def test_display_name_is_kept(service: Auth) -> None:
    request = RegisterRequest(email="ada@example.com", password=PASSWORD, display_name=" Ada L. ")
    assert (await service.auth.Register(request)).display_name == "Ada L."


async def test_display_name_defaults_to_the_part_before_the_at(service: Auth) -> None:
    assert (await service.register("ada@example.com")).display_name == "ada"


async def test_default_display_name_is_cut_to_its_limit(service: Auth) -> None:
    assert (await service.register(f"{'a' * 200}@example.com")).display_name == "a" * 128


async def test_address_is_taken_whatever_its_case(service: Auth) -> None:
    await service.register("ada@example.com")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.register("ADA@Example.com")
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(caught.value) == "RESOURCE_EXISTS"


async def test_of_concurrent_registrations_one_wins(service: Auth) -> None:
    results = await asyncio.gather(
        *(service.register("ada@example.com") for _ in range(6)), return_exceptions=True
    )
    errors = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert len(errors) == 5
    assert {error.code() for error in errors} == {grpc.StatusCode.ALREADY_EXISTS}
    assert await service.sql("SELECT count(*) FROM users") == [(1,)]


async def test_all_bad_fields_are_named(service: Auth) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.register("nobody", "short")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(caught.value) == ["email", "password"]


async def test_password_is_kept_as_argon2id_only(service: Auth) -> None:
    await service.register("ada@example.com")
    [(kept,)] = await service.sql("SELECT password_hash FROM users")
    assert str(kept).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
