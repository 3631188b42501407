"""Who is calling, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from recmesh.common.v1 import authorization_pb2 as roles
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.common.v1.authorization_pb2 import Role
from recmesh_kit.errors import PermissionDenied

RoleSet = frozenset["Role.ValueType"]

ABOVE_USER: RoleSet = frozenset({roles.ROLE_EDITOR, roles.ROLE_SERVICE, roles.ROLE_ADMIN})
"""The roles that see what is hidden from people, and act for any user id."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified.

    Attributes:
        id: The account's id, or the service's name.
        roles: Roles held for the whole deployment.
        catalog_roles: Roles held for one catalog, by catalog id.
    """

    id: str
    roles: RoleSet
    catalog_roles: Mapping[str, RoleSet] = field(default_factory=dict)

    def roles_in(self, catalog: str | None) -> RoleSet:
        """All roles that count in a call about a catalog (None: about none)."""
        if catalog is None:
            return self.roles
        return self.roles | self.catalog_roles.get(catalog, frozenset())

    def is_above_user(self, catalog: str) -> bool:
        """Whether it sees more of the catalog than a person does."""
        return not ABOVE_USER.isdisjoint(self.roles_in(catalog))

    def may_read(self, catalog: str, *, public: bool) -> bool:
        """Whether the catalog is there for it at all."""
        return public or catalog in self.catalog_roles or self.is_above_user(catalog)

    def acting_for(self, user: str, catalog: str) -> str:
        """The user id that a call is made for.

        Args:
            user: The id that the request names; empty for the caller's own.
            catalog: The catalog that the call is about.

        Raises:
            PermissionDenied: A plain user names somebody else.
        """
        if not user or user == self.id or self.is_above_user(catalog):
            return user or self.id
        raise PermissionDenied(
            "You may act for yourself only: leave `user` empty or send your own id.",
            reason=reasons.ERROR_REASON_ACTING_FOR_ANOTHER,
        )


def role_name(role: Role.ValueType) -> str:
    """The word for a role in a token: `ROLE_EDITOR` is "editor"."""
    return Role.Name(role).removeprefix("ROLE_").lower()


def role_set(names: Iterable[object]) -> RoleSet:
    """Roles from their words. A word that this version does not know grants nothing."""
    words = _words()
    return frozenset(words[name] for name in names if isinstance(name, str) and name in words)


@cache
def _words() -> Mapping[str, Role.ValueType]:
    return {role_name(role): role for role in Role.values() if role != roles.ROLE_UNSPECIFIED}
