import grpc
import pytest

from recmesh.auth.v1.user_pb2 import User
from recmesh.auth.v1.user_service_pb2 import ListUsersRequest
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh_kit import paging
from recmesh_kit.principal import Principal
from recmesh_kit.testing import reason_of
from services.auth.tests.conftest import Auth, Metadata


async def not_found(service: Auth, name: str, metadata: Metadata) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.get(name, metadata)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(caught.value) == "RESOURCE_NOT_FOUND"


async def everybody(service: Auth, metadata: Metadata, page_size: int) -> list[list[User]]:
    """All pages."""
    pages, token = [], ""
    while True:
        request = ListUsersRequest(page_size=page_size, page_token=token)
        answer = await service.users.ListUsers(request, metadata=metadata)
        pages.append(list(answer.users))
        token = answer.next_page_token
        if not token:
            return pages


async def test_person_reads_itself_by_name(service: Auth) -> None:
    ada, metadata = await service.person("ada@example.com")
    assert await service.get(ada.name, metadata) == ada


async def test_others_are_not_there_for_a_person(service: Auth) -> None:
    ada = await service.register("ada@example.com")
    _, bob = await service.person("bob@example.com")
    await not_found(service, ada.name, bob)
    await not_found(service, "users/unknown", bob)


async def test_admin_reads_anybody(service: Auth) -> None:
    ada = await service.register("ada@example.com")
    admin = await service.admin()
    assert await service.get(ada.name, admin) == ada
    await not_found(service, "users/unknown", admin)


async def test_service_reads_anybody_and_has_no_account(service: Auth) -> None:
    ada = await service.register("ada@example.com")
    worker = await service.service()
    assert await service.get(ada.name, worker) == ada
    await not_found(service, "users/me", worker)


async def test_admin_of_a_catalog_reads_itself_only(service: Auth) -> None:
    ada = await service.register("ada@example.com")
    bob = await service.register("bob@example.com")
    principal = Principal(
        bob.name.removeprefix("users/"),
        frozenset({roles.ROLE_USER}),
        {"films": frozenset({roles.ROLE_ADMIN})},
    )
    token = service.keys.signer.sign(principal, 60)
    await not_found(service, ada.name, (("authorization", f"Bearer {token}"),))


async def test_accounts_are_listed_in_pages_the_oldest_first(service: Auth) -> None:
    admin = await service.admin()
    opened = [await service.register(f"user{number}@example.com") for number in range(5)]
    pages = await everybody(service, admin, 2)
    assert [len(page) for page in pages] == [2, 2, 2]
    assert [user for page in pages for user in page][1:] == opened


async def test_last_page_that_is_full_has_no_next(service: Auth) -> None:
    admin = await service.admin()
    await service.register("ada@example.com")
    assert len(await everybody(service, admin, 2)) == 1


async def test_listing_needs_an_admin(service: Auth) -> None:
    _, ada = await service.person("ada@example.com")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.users.ListUsers(ListUsersRequest(), metadata=ada)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(caught.value) == "ROLE_REQUIRED"


@pytest.mark.parametrize("token", ["x", paging.encode(["1"], "elsewhere")])
async def test_page_token_of_something_else_is_refused(service: Auth, token: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.users.ListUsers(
            ListUsersRequest(page_token=token), metadata=await service.admin()
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) == "INVALID_PAGE_TOKEN"
