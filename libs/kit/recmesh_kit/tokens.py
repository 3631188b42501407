"""Access tokens: JSON Web Tokens (RFC 7519) signed with EdDSA (RFC 8037), verified by each service for itself."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import Unauthenticated, Unavailable
from recmesh_kit.ids import uuid7
from recmesh_kit.principal import Principal, role_name, role_set

ISSUER = "recmesh"
ALGORITHM = "EdDSA"
CURVE = "Ed25519"
LEEWAY_SECONDS = 60
"""How far clocks may be apart."""
REFETCH_SECONDS = 5.0
"""The least time between two fetches that unknown key ids cause."""
MAX_VERIFIED = 4096
"""Tokens that a verifier knows again."""


class JwkMessage(Protocol):
    """A public key, as `recmesh.auth.v1.Jwk` has it."""

    kty: str
    crv: str
    x: str
    kid: str


class KeySource(Protocol):
    """Where public keys come from."""

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """The key with this id; None when there is none."""
        ...


class RemoteKeys:
    """The published keys of the auth service, cached.

    Args:
        fetch: Calls `AuthService.GetJwks`, with a deadline, and answers its keys.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Iterable[JwkMessage]]]) -> None:
        self._fetch = fetch
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._fetched_at = -REFETCH_SECONDS
        self._lock = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether keys are there."""
        return bool(self._keys)

    async def refresh(self) -> None:
        """Fetches the keys anew, leaving out those of a kind that this version does not know. Errors of `fetch` pass
        through; the old keys stay."""
        fetched = await self._fetch()
        self._keys = {key.kid: public_key(key) for key in fetched if key.crv == CURVE}

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """The key with this id; an unknown id is worth a fetch, but not more often than every few seconds."""
        if kid not in self._keys:
            async with self._lock:
                if kid not in self._keys and time.monotonic() - self._fetched_at > REFETCH_SECONDS:
                    try:
                        await self.refresh()
                    finally:
                        self._fetched_at = time.monotonic()
        if not self._keys:
            raise Unavailable(
                "The keys that tokens are verified with are not there yet: try again soon.",
                metadata={"dependency": "auth"},
            )
        return self._keys.get(kid)


def public_key(key: JwkMessage) -> Ed25519PublicKey:
    """The key that a JWK describes."""
    loaded = jwt.PyJWK({"kty": key.kty, "crv": key.crv, "x": key.x, "kid": key.kid}, ALGORITHM).key
    assert isinstance(loaded, Ed25519PublicKey)
    return loaded


class LocalKeys:
    """Public keys that are at hand: the auth service's own."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = dict(keys)

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """The key with this id; None when there is none."""
        return self._keys.get(kid)


class TokenSigner:
    """Issues tokens: the auth service does, and tests do.

    Args:
        key: The private key.
        kid: Its id, which goes into the token's header.
    """

    def __init__(self, key: Ed25519PrivateKey, kid: str) -> None:
        self._key = key
        self._kid = kid

    def sign(self, principal: Principal, lifetime_seconds: int) -> str:
        """A token that says who `principal` is, valid from now on."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": principal.id,
            "iat": now,
            "exp": now + lifetime_seconds,
            "jti": str(uuid7()),
            "roles": sorted(role_name(role) for role in principal.roles),
            "catalogs": {
                catalog: sorted(role_name(role) for role in roles)
                for catalog, roles in principal.catalog_roles.items()
            },
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": self._kid})


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a token said that was good.

    Attributes:
        kid: The id of the key that it was verified with.
        key: That key.
        begins: From when on it is good, in seconds since 1970.
        ends: From when on it is not.
        principal: Whom it was issued to.
    """

    kid: str
    key: Ed25519PublicKey
    begins: int
    ends: int
    principal: Principal


class TokenVerifier:
    """Turns a token into the principal that it was issued to.

    A signature is computed once: a token that comes again is known by its hash, as long as its time has not run out and
    the very key that it was verified with is still the one of its id. So a key that is withdrawn counts no longer than
    it would otherwise.
    """

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """The principal.

        Raises:
            Unauthenticated: TOKEN_EXPIRED, or TOKEN_INVALID for everything else that is wrong with it.
            Unavailable: The keys are not there yet.
        """
        # The hash, so that no token lies about in memory.
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is None or not await self._stands(known):
            self._verified.pop(digest, None)
            known = await self._check(token)
            if len(self._verified) >= MAX_VERIFIED:
                self._verified.popitem(last=False)
        self._verified[digest] = known
        self._verified.move_to_end(digest)
        return known.principal

    async def _stands(self, known: _Verified) -> bool:
        now = time.time()
        timely = known.begins - LEEWAY_SECONDS <= now < known.ends + LEEWAY_SECONDS
        return timely and await self._keys.key(known.kid) is known.key

    async def _check(self, token: str) -> _Verified:
        try:
            kid = str(jwt.get_unverified_header(token).get("kid", ""))
            key = await self._keys.key(kid)
            if key is None:
                raise _invalid()
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=ISSUER,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                "The token has expired: get another with RefreshToken.",
                reason=reasons.ERROR_REASON_TOKEN_EXPIRED,
            ) from None
        except jwt.InvalidTokenError:
            raise _invalid() from None
        begins = max(int(claims["iat"]), int(claims.get("nbf", 0)))
        return _Verified(kid, key, begins, int(claims["exp"]), principal(claims))


def principal(claims: Mapping[str, Any]) -> Principal:
    """The principal that verified claims describe: `sub`, `roles` and `catalogs` (catalog id to roles)."""
    return Principal(
        id=claims["sub"],
        roles=role_set(claims.get("roles", ())),
        catalog_roles={c: role_set(names) for c, names in claims.get("catalogs", {}).items()},
    )


def _invalid() -> Unauthenticated:
    return Unauthenticated(
        "The token is not one of this deployment's, or is damaged: sign in again.",
        reason=reasons.ERROR_REASON_TOKEN_INVALID,
    )
