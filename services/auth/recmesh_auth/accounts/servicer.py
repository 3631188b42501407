"""The methods that are about accounts: `Register` of `AuthService`, and all of `UserService`."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from recmesh.auth.v1 import user_service_pb2 as messages
from recmesh.auth.v1.auth_service_pb2 import RegisterRequest
from recmesh.auth.v1.user_pb2 import User
from recmesh.auth.v1.user_service_pb2_grpc import UserServiceServicer
from recmesh_auth.accounts import converters
from recmesh_auth.accounts.service import AccountService
from recmesh_kit import paging
from recmesh_kit.chain.chain import RpcContext
from recmesh_kit.context import caller


class RegisterMethod:
    """Convert, call, convert."""

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

    async def Register(self, request: RegisterRequest, context: RpcContext) -> User:
        """Opens an account."""
        account = await self._accounts.register(
            request.email, request.password, request.display_name
        )
        return converters.user(account)


class UserServicer(UserServiceServicer):
    """Convert, call, convert."""

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

    async def GetUser(self, request: messages.GetUserRequest, context: RpcContext) -> User:
        """Reads an account."""
        account = await self._accounts.get(caller(), converters.account_id(request.name))
        return converters.user(account)

    async def ListUsers(
        self, request: messages.ListUsersRequest, context: RpcContext
    ) -> messages.ListUsersResponse:
        """Lists accounts."""
        scope = ("ListUsers",)
        after = paging.decode(request.page_token, *scope)
        size = paging.page_size(request.page_size)
        page, end = await self._accounts.page(after[0] if after else None, size)
        return messages.ListUsersResponse(
            users=[converters.user(account) for account in page],
            next_page_token=paging.encode([end], *scope) if end is not None else "",
        )

    async def SetUserRoles(
        self, request: messages.SetUserRolesRequest, context: RpcContext
    ) -> User:
        """Replaces what an account is granted."""
        account = await self._accounts.set_grants(
            caller(), converters.account_id(request.name), converters.grants(request.grants)
        )
        return converters.user(account)
