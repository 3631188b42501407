import asyncio
from datetime import UTC, datetime

import grpc
import pytest

from recmesh.auth.v1.user_pb2 import RoleGrant, User
from recmesh.auth.v1.user_service_pb2 import SetUserRolesRequest
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_auth.accounts.account import Grant
from recmesh_auth.accounts.repository import AccountRepository
from recmesh_kit.testing import fields_of, reason_of
from recmesh_kit.tokens import TokenVerifier
from services.auth.tests.conftest import ADMIN, Auth, Metadata, signed_in

ADMIN_GRANT = RoleGrant(role=roles.ROLE_ADMIN)
FILMS_EDITOR = RoleGrant(role=roles.ROLE_EDITOR, catalog="catalogs/films")


async def grant(service: Auth, metadata: Metadata, name: str, *grants: RoleGrant) -> User:
    request = SetUserRolesRequest(name=name, grants=grants)
    return await service.users.SetUserRoles(request, metadata=metadata)


async def test_grants_are_replaced(service: Auth) -> None:
    admin = await service.admin()
    ada = await service.register("ada@example.com")
    await grant(service, admin, ada.name, RoleGrant(role=roles.ROLE_SERVICE))
    changed = await grant(service, admin, ada.name, FILMS_EDITOR)
    assert list(changed.grants) == [FILMS_EDITOR]
    assert changed.update_time.ToNanoseconds() > ada.update_time.ToNanoseconds()
    assert await service.get(ada.name, admin) == changed


async def test_no_grants_take_all_away(service: Auth) -> None:
    admin = await service.admin()
    ada = await service.register("ada@example.com")
    await grant(service, admin, ada.name, FILMS_EDITOR)
    assert not (await grant(service, admin, ada.name)).grants


async def test_duplicates_and_the_implied_role_are_dropped(service: Auth) -> None:
    admin = await service.admin()
    ada = await service.register("ada@example.com")
    given = [FILMS_EDITOR, RoleGrant(role=roles.ROLE_USER), FILMS_EDITOR]
    assert list((await grant(service, admin, ada.name, *given)).grants) == [FILMS_EDITOR]


async def test_role_user_of_one_catalog_is_kept(service: Auth) -> None:
    admin = await service.admin()
    ada = await service.register("ada@example.com")
    reader = RoleGrant(role=roles.ROLE_USER, catalog="catalogs/private")
    assert list((await grant(service, admin, ada.name, reader)).grants) == [reader]


async def test_next_token_says_what_was_granted(service: Auth) -> None:
    admin = await service.admin()
    ada = await service.register("ada@example.com")
    await grant(service, admin, ada.name, FILMS_EDITOR, RoleGrant(role=roles.ROLE_SERVICE))
    pair = await service.login("ada@example.com")
    principal = await TokenVerifier(service.keys).verify(pair.access_token)
    assert principal.id == ada.name.removeprefix("users/")
    assert principal.roles == {roles.ROLE_USER, roles.ROLE_SERVICE}
    assert principal.catalog_roles == {"films": {roles.ROLE_EDITOR}}


async def test_unspecified_unknown_and_misnamed_grants_are_refused(service: Auth) -> None:
    admin = await service.admin()
    bad = [RoleGrant(), RoleGrant(role=99), RoleGrant(role=2, catalog="films")]  # type: ignore[arg-type]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grant(service, admin, "users/me", *bad)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(caught.value) == ["grants[0].role", "grants[1].role", "grants[2].catalog"]


async def test_unknown_account_is_not_found(service: Auth) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grant(service, await service.admin(), "users/unknown", ADMIN_GRANT)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_only_an_admin_grants(service: Auth) -> None:
    ada, metadata = await service.person("ada@example.com")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grant(service, metadata, ada.name, ADMIN_GRANT)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(caught.value) == "ROLE_REQUIRED"


async def test_last_admin_stays(service: Auth) -> None:
    admin = await service.admin()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grant(service, admin, "users/me", FILMS_EDITOR)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(caught.value) == "WRONG_STATE"
    assert list((await service.get("users/me", admin)).grants) == [ADMIN_GRANT]


async def test_admin_of_a_catalog_is_no_second_admin(service: Auth) -> None:
    admin = await service.admin()
    ada = await service.register("ada@example.com")
    films_admin = RoleGrant(role=roles.ROLE_ADMIN, catalog="catalogs/films")
    await grant(service, admin, ada.name, films_admin)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grant(service, admin, "users/me")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_admins_who_depose_each_other_leave_one(service: Auth) -> None:
    admin = await service.admin()
    others = [await service.register(f"admin{number}@example.com") for number in range(3)]
    for other in others:
        await grant(service, admin, other.name, ADMIN_GRANT)
    everybody = [await service.get("users/me", admin), *others]
    results = await asyncio.gather(
        *(grant(service, admin, user.name) for user in everybody), return_exceptions=True
    )
    errors = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert [error.code() for error in errors] == [grpc.StatusCode.FAILED_PRECONDITION]
    assert await service.sql("SELECT count(*) FROM role_grants") == [(1,)]


async def test_change_waits_for_the_one_before(service: Auth) -> None:
    admin = await service.admin()
    ada = await service.register("ada@example.com")
    account_id = ada.name.removeprefix("users/")
    async with service.database.transaction() as session:
        repository = AccountRepository(session)
        await repository.get_for_update(account_id)
        second = asyncio.create_task(grant(service, admin, ada.name, FILMS_EDITOR))
        await service.somebody_waits()
        same = Grant("films", roles.ROLE_EDITOR)
        await repository.replace_grants(account_id, [same], datetime.now(UTC))
    assert list((await second).grants) == [FILMS_EDITOR]


async def test_second_start_leaves_the_first_admin_alone(service: Auth) -> None:
    before = await service.get("users/me", await service.admin())
    await service.accounts.ensure_admin(ADMIN, "another password")
    assert await service.get("users/me", await service.admin()) == before


async def test_replicas_that_start_at_once_make_one_admin(service: Auth) -> None:
    await asyncio.gather(*(service.accounts.ensure_admin(ADMIN, "password") for _ in range(5)))
    assert await service.sql("SELECT count(*) FROM users") == [(1,)]
    assert await service.sql("SELECT role, catalog FROM role_grants") == [("admin", "")]


async def test_who_registered_the_address_before_is_made_no_admin(service: Auth) -> None:
    await service.register(ADMIN, "somebody else")
    await service.accounts.ensure_admin(ADMIN, "password")
    metadata = signed_in(await service.login(ADMIN, "somebody else"))
    assert not (await service.get("users/me", metadata)).grants
