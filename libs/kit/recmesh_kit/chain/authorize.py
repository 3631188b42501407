"""Who may call: the bearer token, and the method's rule in the contract."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from recmesh.common.v1 import authorization_pb2
from recmesh.common.v1.authorization_pb2 import Role
from recmesh_kit import names
from recmesh_kit.errors import PermissionDenied, Unauthenticated
from recmesh_kit.principal import Principal
from recmesh_kit.tokens import TokenVerifier

Metadata = Sequence[tuple[str, str | bytes]]


class Rule:
    """A method's authorisation rule.

    Raises:
        LookupError: The method has none, or one that cannot work. The server must not start.
    """

    def __init__(self, method: MethodDescriptor) -> None:
        rule = method.GetOptions().Extensions[authorization_pb2.authorization]
        self.public = rule.public
        self.roles = frozenset(rule.roles)
        self._path = rule.resource.split(".") if rule.resource else []
        if self.public == bool(self.roles) or authorization_pb2.ROLE_UNSPECIFIED in self.roles:
            message = f"{method.full_name} needs an authorisation rule: either public or roles"
            raise LookupError(message)
        if self._path and not _names_text(method.input_type, self._path):
            message = f"{method.full_name}: its authorisation names {rule.resource}, which is no text of the request"
            raise LookupError(message)

    def check(self, principal: Principal, request: Message) -> None:
        """Lets the caller pass.

        Raises:
            PermissionDenied: ROLE_REQUIRED.
        """
        # Roles for the whole deployment count in every catalog; mostly they are enough.
        if self.roles.isdisjoint(principal.roles) and self.roles.isdisjoint(
            principal.roles_in(self.catalog(request))
        ):
            needed = sorted(Role.Name(role) for role in self.roles)
            raise PermissionDenied(
                f"This needs one of the roles {', '.join(needed)}.",
                metadata={"roles": ",".join(needed)},
            )

    def catalog(self, request: Message) -> str | None:
        """The catalog whose grants count; None when the request names none."""
        if not self._path:
            return None
        value: object = request
        for part in self._path:
            value = getattr(value, part)
        return names.catalog_of(str(value))


def _names_text(descriptor: Descriptor, path: Sequence[str]) -> bool:
    within: Descriptor | None = descriptor
    field: FieldDescriptor | None = None
    for part in path:
        field = within.fields_by_name.get(part) if within else None
        if field is None or field.is_repeated:
            return False
        within = field.message_type
    return field is not None and field.type == FieldDescriptor.TYPE_STRING


def bearer_token(metadata: Metadata) -> str:
    """The token of a call.

    Raises:
        Unauthenticated: TOKEN_MISSING.
    """
    for key, value in metadata:
        if key == "authorization":
            scheme, _, token = str(value).partition(" ")
            if scheme.lower() == "bearer" and token:
                return token.strip()
    raise Unauthenticated("Sign in, and send the token as `authorization: Bearer …` metadata.")


async def authenticate(verifier: TokenVerifier, metadata: Metadata) -> Principal:
    """Who is calling.

    Raises:
        Unauthenticated: TOKEN_MISSING, TOKEN_INVALID or TOKEN_EXPIRED.
        Unavailable: The keys to verify with are not there yet.
    """
    return await verifier.verify(bearer_token(metadata))
