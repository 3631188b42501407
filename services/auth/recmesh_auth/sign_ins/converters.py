"""Tokens and public keys as messages."""

from __future__ import annotations

from collections.abc import Iterable

from recmesh.auth.v1.auth_service_pb2 import Jwk, Jwks, TokenPair
from recmesh_auth.sign_ins.keys import PublicJwk
from recmesh_auth.sign_ins.service import Tokens


def token_pair(tokens: Tokens) -> TokenPair:
    """The tokens of a sign-in."""
    return TokenPair(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type="Bearer",  # noqa: S106 - RFC 6750 calls it so
        expires_in=tokens.expires_in,
    )


def jwks(keys: Iterable[PublicJwk]) -> Jwks:
    """The published keys."""
    return Jwks(
        keys=[
            Jwk(kty=key.kty, crv=key.crv, x=key.x, kid=key.kid, alg=key.alg, use=key.use)
            for key in keys
        ]
    )
