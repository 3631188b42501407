"""Accounts as messages, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from google.protobuf import timestamp_pb2

from recmesh.auth.v1 import user_pb2
from recmesh_auth.accounts.account import Account, Grant
from recmesh_kit import names


def user(account: Account) -> user_pb2.User:
    """An account as the contract has it."""
    return user_pb2.User(
        name=names.join("users", account.id),
        email=account.email,
        display_name=account.display_name,
        grants=[_role_grant(grant) for grant in account.grants],
        create_time=_timestamp(account.create_time),
        update_time=_timestamp(account.update_time),
    )


def account_id(name: str) -> str:
    """The id in `users/{user}`."""
    return names.ids(name)[0]


def grants(messages: Iterable[user_pb2.RoleGrant]) -> list[Grant]:
    """Grants as they were sent. Their roles and names have been checked."""
    return [Grant(names.catalog_of(message.catalog) or "", message.role) for message in messages]


def _role_grant(grant: Grant) -> user_pb2.RoleGrant:
    catalog = names.join("catalogs", grant.catalog) if grant.catalog else ""
    return user_pb2.RoleGrant(role=grant.role, catalog=catalog)


def _timestamp(time: datetime) -> timestamp_pb2.Timestamp:
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
