"""What an account is, to the rules of this service."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from recmesh.common.v1 import authorization_pb2 as roles
from recmesh.common.v1.authorization_pb2 import Role
from recmesh_kit.principal import Principal, RoleSet

ME = "me"
"""Stands for the caller's own id."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """A role, for the whole deployment or for one catalog.

    Attributes:
        catalog: The catalog's id; empty for the whole deployment.
        role: The role.
    """

    catalog: str
    role: Role.ValueType


ADMIN = Grant("", roles.ROLE_ADMIN)
IMPLIED = Grant("", roles.ROLE_USER)
"""What every account has, without it being kept anywhere."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account.

    Attributes:
        id: Made by this service; sorts by the time when the account was opened.
        email: The address as it was given; empty for a person known by an external identity only.
        display_name: What to call the person.
        grants: What it may do beside `IMPLIED`, sorted.
        create_time: When it was opened.
        update_time: When it was last changed.
    """

    id: str
    email: str = field(repr=False)
    display_name: str = field(repr=False)
    grants: tuple[Grant, ...]
    create_time: datetime
    update_time: datetime

    @property
    def principal(self) -> Principal:
        """The account as a caller."""
        held: dict[str, RoleSet] = {}
        for grant in (IMPLIED, *self.grants):
            held[grant.catalog] = held.get(grant.catalog, frozenset()) | {grant.role}
        return Principal(self.id, held.pop(""), held)


def normalised_email(email: str) -> str:
    """The form in which addresses are compared: without the space around, in lower case."""
    return email.strip().lower()
