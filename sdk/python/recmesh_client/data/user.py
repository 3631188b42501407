"""Accounts, roles and API keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, auto


class Role(StrEnum):
    """What a principal may do."""

    UNKNOWN = auto()
    USER = auto()
    """Every account has it. Reads public catalogs and acts as itself alone."""
    EDITOR = auto()
    """Writes items and interactions, and acts for any user id of its catalogs."""
    SERVICE = auto()
    """Another program. Acts for any user id."""
    ADMIN = auto()
    """Does everything within its scope."""


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role, for one catalog (by its id) or, where that is empty, for the whole deployment."""

    role: Role
    catalog: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """An account.

    Attributes:
        id: Made by the server.
        email: The e-mail address to sign in with; empty for a person known by an external identity only.
        display_name: What to call the person.
        grants: What the account may do, beside the role `user` that every account has.
        create_time: When it was opened.
        update_time: When it was last changed.
    """

    id: str
    email: str = ""
    display_name: str = ""
    grants: tuple[RoleGrant, ...] = ()
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserDocument:
    """One document of what the services keep of a person.

    Attributes:
        service: The service that keeps it, such as "catalog".
        kind: What it is, such as "interaction".
        json: The document.
    """

    service: str
    kind: str
    json: str


@dataclass(frozen=True, slots=True)
class ApiKeyInfo:
    """A key that a program signs in with.

    Attributes:
        id: Made by the server.
        display_name: What the key is for.
        grants: What its holder may do.
        key: The key itself. Only in the answer of `create_api_key`.
        create_time: When it was made.
        expire_time: From when on it does not work; None for never.
        revoke_time: When it was revoked; None while it works.
    """

    id: str
    display_name: str
    grants: tuple[RoleGrant, ...]
    key: str = field(default="", repr=False)
    create_time: datetime | None = None
    expire_time: datetime | None = None
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in answers.

    Attributes:
        access_token: To be sent as `authorization: Bearer …`.
        refresh_token: For one renewal; empty for API keys.
        expires_in: How long the access token is valid from now, in seconds.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key as a JSON Web Key (RFC 8037); the attributes are that standard's.

    Attributes:
        kty: Key type: "OKP".
        crv: Curve: "Ed25519".
        x: The public key, 32 bytes in base64url without padding.
        kid: Key id; a token's header names the key that signed it.
        alg: Signature algorithm: "EdDSA".
        use: "sig".
    """

    kty: str
    crv: str
    x: str
    kid: str
    alg: str
    use: str
