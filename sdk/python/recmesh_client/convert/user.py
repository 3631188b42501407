"""Accounts, roles and API keys."""

from __future__ import annotations

from collections.abc import Iterable

from recmesh.auth.v1 import api_key_service_pb2, auth_service_pb2, user_pb2, user_service_pb2
from recmesh.common.v1 import authorization_pb2
from recmesh_client.convert.basics import catalog_name, last_id, time
from recmesh_client.convert.enums import EnumTable
from recmesh_client.data.user import (
    ApiKeyInfo,
    PublicKey,
    Role,
    RoleGrant,
    TokenPair,
    User,
    UserDocument,
)

ROLES = EnumTable(Role, authorization_pb2.Role.items(), "ROLE_", Role.UNKNOWN)


def user_name(user: str) -> str:
    """`users/{user}`."""
    return f"users/{user}"


def from_user(message: user_pb2.User) -> User:
    """An account out of an answer."""
    return User(
        id=last_id(message.name),
        email=message.email,
        display_name=message.display_name,
        grants=_from_grants(message.grants),
        create_time=time(message, "create_time"),
        update_time=time(message, "update_time"),
    )


def to_grants(grants: Iterable[RoleGrant]) -> list[user_pb2.RoleGrant]:
    """Grants into a request."""
    return [
        user_pb2.RoleGrant(
            role=ROLES.number(grant.role),
            catalog=catalog_name(grant.catalog) if grant.catalog else "",
        )
        for grant in grants
    ]


def _from_grants(messages: Iterable[user_pb2.RoleGrant]) -> tuple[RoleGrant, ...]:
    return tuple(RoleGrant(ROLES.member(grant.role), last_id(grant.catalog)) for grant in messages)


def from_api_key(message: api_key_service_pb2.ApiKey) -> ApiKeyInfo:
    """A key out of an answer."""
    return ApiKeyInfo(
        id=last_id(message.name),
        display_name=message.display_name,
        grants=_from_grants(message.grants),
        key=message.key,
        create_time=time(message, "create_time"),
        expire_time=time(message, "expire_time"),
        revoke_time=time(message, "revoke_time"),
    )


def from_token_pair(message: auth_service_pb2.TokenPair) -> TokenPair:
    """A sign-in's answer."""
    return TokenPair(message.access_token, message.refresh_token, message.expires_in)


def from_document(message: user_service_pb2.ExportUserDataResponse) -> UserDocument:
    """A document of a person's data."""
    return UserDocument(message.service, message.kind, message.document.decode())


def from_key(message: auth_service_pb2.Jwk) -> PublicKey:
    """A public key out of an answer."""
    return PublicKey(message.kty, message.crv, message.x, message.kid, message.alg, message.use)
