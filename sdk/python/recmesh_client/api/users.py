"""Accounts and sign-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from recmesh.auth.v1 import auth_service_pb2, user_pb2
from recmesh.auth.v1 import user_service_pb2 as pb
from recmesh_client.api.base import Api
from recmesh_client.convert.basics import strings
from recmesh_client.convert.user import (
    from_document,
    from_key,
    from_token_pair,
    from_user,
    to_grants,
    user_name,
)
from recmesh_client.credentials import Credentials, Token
from recmesh_client.data.user import PublicKey, RoleGrant, TokenPair, User, UserDocument
from recmesh_client.pages import AsyncPages
from recmesh_client.wire.retry import Deadline


class Users(Api):
    """Methods about accounts. The id `me` is the caller's."""

    async def register(
        self, email: str, password: str, *, display_name: str = "", timeout: float | None = None
    ) -> User:
        """Opens an account with role `user`; it does not sign in. Raises AlreadyExists, InvalidArgument."""
        request = auth_service_pb2.RegisterRequest(
            email=email, password=password, display_name=display_name
        )
        return from_user(
            await self._wire.anonymous.unary(self._wire.auth.Register, request, timeout)
        )

    async def sign_in(self, credentials: Credentials, *, timeout: float | None = None) -> None:
        """From now on calls are made as somebody else. Raises SignInFailed."""
        deadline = Deadline(self._wire.timeout if timeout is None else timeout)
        await self._wire.session.sign_in(credentials, deadline)

    async def sign_out(self, *, timeout: float | None = None) -> None:
        """Ends the sign-in; from now on calls are made as nobody."""
        await self._wire.session.sign_out(timeout)

    async def token(self, *, timeout: float | None = None) -> Token:
        """The tokens in force, renewed when need be: to sign in with later, or for other programs. A refresh token
        works once, so whoever uses it takes it away from this client. Raises Unauthenticated when nobody is signed in.
        """
        deadline = Deadline(self._wire.timeout if timeout is None else timeout)
        return await self._wire.session.token(deadline)

    async def exchange_external_identity(
        self, provider: str, subject: str, *, display_name: str = "", timeout: float | None = None
    ) -> TokenPair:
        """Signs in the person that a trusted program speaks for. Raises PermissionDenied.

        Args:
            provider: Who vouches for the identity, such as "telegram".
            subject: The person's stable id there.
            display_name: What to call the person when the account is opened.
            timeout: Seconds.
        """
        request = auth_service_pb2.ExchangeExternalIdentityRequest(
            provider=provider, subject=subject, display_name=display_name
        )
        method = self._wire.auth.ExchangeExternalIdentity
        return from_token_pair(await self._call(method, request, timeout))

    async def get_jwks(self, *, timeout: float | None = None) -> tuple[PublicKey, ...]:
        """The public keys that access tokens are verified with."""
        request = auth_service_pb2.GetJwksRequest()
        answer = await self._wire.anonymous.unary(self._wire.auth.GetJwks, request, timeout)
        return tuple(map(from_key, answer.keys))

    async def get_user(self, user: str = "me", *, timeout: float | None = None) -> User:
        """Reads an account. Raises NotFound."""
        request = pb.GetUserRequest(name=user_name(user))
        return from_user(await self._call(self._wire.users.GetUser, request, timeout))

    def list_users(self, *, page_size: int = 0, timeout: float | None = None) -> AsyncPages[User]:
        """The accounts, the oldest first. `timeout` is for each page. Raises PermissionDenied."""

        async def fetch(token: str) -> tuple[tuple[User, ...], str]:
            request = pb.ListUsersRequest(page_size=page_size, page_token=token)
            page = await self._call(self._wire.users.ListUsers, request, timeout)
            return tuple(map(from_user, page.users)), page.next_page_token

        return AsyncPages(fetch)

    async def update_user(
        self, user: User, *, fields: Sequence[str] = (), timeout: float | None = None
    ) -> User:
        """Changes the named fields of an account (`display_name`); without names, all that are set. Raises NotFound."""
        request = pb.UpdateUserRequest(
            user=user_pb2.User(name=user_name(user.id), display_name=user.display_name),
            update_mask=FieldMask(paths=strings(fields)),
        )
        return from_user(await self._call(self._wire.users.UpdateUser, request, timeout))

    async def set_user_roles(
        self, user: str, grants: Iterable[RoleGrant], *, timeout: float | None = None
    ) -> User:
        """Replaces what an account is granted. Raises NotFound, PermissionDenied, FailedPrecondition."""
        request = pb.SetUserRolesRequest(name=user_name(user), grants=to_grants(grants))
        return from_user(await self._call(self._wire.users.SetUserRoles, request, timeout))

    async def delete_user(self, user: str, *, timeout: float | None = None) -> None:
        """Closes an account and erases what every service keeps of the person. Raises NotFound."""
        request = pb.DeleteUserRequest(name=user_name(user))
        await self._call(self._wire.users.DeleteUser, request, timeout)

    async def export_user_data(
        self, user: str = "me", *, timeout: float | None = None
    ) -> AsyncIterator[UserDocument]:
        """Everything that the services keep of a person. A stream that breaks has to be begun anew. Raises NotFound."""
        request = pb.ExportUserDataRequest(name=user_name(user))
        method = self._wire.users.ExportUserData
        async for part in self._stream(method, lambda: request, timeout, resumable=False):
            yield from_document(part)
