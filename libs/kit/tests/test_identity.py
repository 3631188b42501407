from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.kit.tests.calls import failure, listening, until
from recmesh.auth.v1 import auth_service_pb2 as pb
from recmesh.auth.v1.auth_service_pb2_grpc import AuthServiceServicer
from recmesh_kit import identity as module
from recmesh_kit.errors import Unauthenticated, Unavailable
from recmesh_kit.health import Health
from recmesh_kit.identity import Identity
from recmesh_kit.principal import Principal
from recmesh_kit.server import Service
from recmesh_kit.tasks import Background
from recmesh_kit.testing import SERVICE, USER, reason_of
from recmesh_kit.tokens import TokenSigner

AUTH = pb.DESCRIPTOR.services_by_name["AuthService"]
ANN = Principal("ann", USER)


class Auth(AuthServiceServicer):
    """Publishes a key, and signs in whoever has the right API key."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.signer = TokenSigner(self.key, "k1")
        self.away = False
        self.asked = 0

    async def GetJwks(self, request: pb.GetJwksRequest, context: object) -> pb.Jwks:  # noqa: N802
        self.asked += 1
        if self.away:
            raise Unavailable("not now")
        x = base64.urlsafe_b64encode(self.key.public_key().public_bytes_raw()).decode()
        return pb.Jwks(keys=[pb.Jwk(kty="OKP", crv="Ed25519", x=x.rstrip("="), kid="k1")])

    async def ExchangeApiKey(  # noqa: N802
        self, request: pb.ExchangeApiKeyRequest, context: object
    ) -> pb.TokenPair:
        if request.api_key != "right":
            raise Unauthenticated("no")
        token = self.signer.sign(Principal("worker", SERVICE), 600)
        return pb.TokenPair(access_token=token, expires_in=600)


@asynccontextmanager
async def known(auth: Auth, key: str = "right") -> AsyncIterator[Identity]:
    async with (
        listening(Service(AUTH, auth)) as address,
        Identity(address, AUTH, timeout_seconds=60, service_key=key) as identity,
    ):
        yield identity


async def test_tokens_of_auth_are_verified() -> None:
    auth = Auth()
    async with known(auth) as identity:
        assert await identity.verifier.verify(auth.signer.sign(ANN, 60)) == ANN


async def test_tokens_of_another_auth_are_not() -> None:
    async with known(Auth()) as identity:
        with pytest.raises(Unauthenticated):
            await identity.verifier.verify(Auth().signer.sign(ANN, 60))


async def test_a_service_signs_in() -> None:
    async with known(Auth()) as identity:
        token = await identity.credentials.token()
        assert await identity.verifier.verify(token) == Principal("worker", SERVICE)


async def test_a_wrong_key_does_not_sign_in() -> None:
    async with known(Auth(), "wrong") as identity:
        error = await failure(identity.credentials.token())
    assert reason_of(error) == "TOKEN_MISSING"


async def test_without_auth_nobody_can_tell() -> None:
    auth = Auth()
    auth.away = True
    async with known(auth) as identity:
        with pytest.raises(Unavailable) as caught:
            await identity.verifier.verify(auth.signer.sign(ANN, 60))
    assert caught.value.metadata == {"dependency": "auth"}


async def test_keys_are_up_once_they_are_there() -> None:
    auth, health = Auth(), Health(("keys",))
    auth.away = True
    async with known(auth) as identity, Background() as background:
        identity.watch(background, health, 0.01)
        await until(lambda: auth.asked)
        assert not health.serving
        auth.away = False
        await until(lambda: health.serving)


async def test_keys_stay_up_while_auth_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)
    auth, health = Auth(), Health(("keys",))
    async with known(auth) as identity, Background() as background:
        identity.watch(background, health, 0.01)
        await until(lambda: health.serving)
        auth.away, before = True, auth.asked
        await until(lambda: auth.asked > before + 4)
        assert health.serving


async def test_fresh_keys_are_not_fetched_again() -> None:
    auth, health, rounds = Auth(), Health(("keys",)), 0

    async def count() -> None:
        nonlocal rounds
        rounds += 1

    async with known(auth) as identity, Background() as background:
        identity.watch(background, health, 0.001)
        await until(lambda: health.serving)
        background.loop("rounds", count, 0.001)
        await until(lambda: rounds > 10)
    assert auth.asked == 1
