from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from recmesh.auth.v1.auth_service_pb2 import Jwk
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh_kit import tokens
from recmesh_kit.errors import Unauthenticated, Unavailable
from recmesh_kit.principal import Principal
from recmesh_kit.testing import EDITOR, KID, USER, signer, verifier
from recmesh_kit.tokens import LocalKeys, RemoteKeys, TokenSigner, TokenVerifier

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()
ANN = Principal("ann", USER, {"films": EDITOR})
VERIFIER = TokenVerifier(LocalKeys({"k1": PUBLIC}))


def token(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "recmesh", "aud": "recmesh", "sub": "ann", "iat": now, "exp": now + 60}
    claims = {k: v for k, v in {**claims, **changes}.items() if v is not None}
    return jwt.encode(claims, KEY, algorithm="EdDSA", headers={"kid": "k1"})


async def refusal(sent: str) -> ErrorReason.ValueType:
    with pytest.raises(Unauthenticated) as caught:
        await VERIFIER.verify(sent)
    return caught.value.reason


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwk(kid: str, key: Ed25519PublicKey = PUBLIC) -> Jwk:
    raw = key.public_bytes_raw()
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return Jwk(kty="OKP", crv="Ed25519", x=x, kid=kid, alg="EdDSA", use="sig")


async def test_what_was_signed_is_what_is_read() -> None:
    assert await VERIFIER.verify(TokenSigner(KEY, "k1").sign(ANN, 60)) == ANN


async def test_the_claims_of_a_token() -> None:
    sent = TokenSigner(KEY, "k1").sign(ANN, 60)
    claims = jwt.decode(sent, PUBLIC, algorithms=["EdDSA"], audience="recmesh")
    assert claims["exp"] - claims["iat"] == 60
    assert (claims["roles"], claims["catalogs"]) == (["user"], {"films": ["editor", "user"]})
    assert jwt.get_unverified_header(sent) == {"alg": "EdDSA", "typ": "JWT", "kid": "k1"}


async def test_a_role_of_a_later_version_grants_nothing() -> None:
    found = await VERIFIER.verify(token(roles=["user", "wizard"]))
    assert found.roles == {roles.ROLE_USER}


async def test_an_expired_token() -> None:
    assert await refusal(token(exp=time.time() - 61)) == reasons.ERROR_REASON_TOKEN_EXPIRED


async def test_clocks_may_be_apart() -> None:
    half = tokens.LEEWAY_SECONDS / 2
    assert await VERIFIER.verify(token(exp=time.time() - half, iat=time.time() + half))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "somebody"},
        {"aud": None},
        {"exp": None},
        {"sub": None},
        {"sub": 7},
        {"iat": None},
        {"iat": 2**40},
        {"nbf": 2**40},
    ],
)
async def test_claims_that_are_not_ours(changes: dict[str, Any]) -> None:
    try:
        sent = token(**changes)
    except TypeError:
        # The library does not sign such a subject; another one would.
        signed = f"{part({'alg': 'EdDSA', 'kid': 'k1'})}.{part(changes)}"
        signature = base64.urlsafe_b64encode(KEY.sign(signed.encode())).decode().rstrip("=")
        sent = f"{signed}.{signature}"
    assert await refusal(sent) == reasons.ERROR_REASON_TOKEN_INVALID


def unsigned() -> str:
    return f"{part({'alg': 'none', 'kid': 'k1'})}.{token().split('.')[1]}."


def signed_with_the_public_key() -> str:
    # By hand: the library refuses to take a public key for a secret.
    import hashlib
    import hmac

    pem = PUBLIC.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    text = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{token().split('.')[1]}"
    mac = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def of_another_key() -> str:
    return TokenSigner(Ed25519PrivateKey.generate(), "k1").sign(ANN, 60)


def changed() -> str:
    header, claims, signature = token().split(".")
    padded = claims + "=" * (-len(claims) % 4)
    more = {**json.loads(base64.urlsafe_b64decode(padded)), "roles": ["admin"]}
    return f"{header}.{part(more)}.{signature}"


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "garbage",
        "a.b",
        "..",
        "a.b.c.d",
        "ÿ.ÿ.ÿ",
        f"{part([])}.e30.AA",
        f"{part({'alg': 'EdDSA', 'kid': 7})}.e30.AA",
        f"{part({'alg': 'EdDSA'})}.e30.AA",
        pytest.param(f"{base64.urlsafe_b64encode(b'[' * 9000).decode()}.e30.AA", id="deep"),
        f"{part({'alg': 'EdDSA', 'kid': 'k1'})}.{part('text')}.AA",
        pytest.param(unsigned(), id="unsigned"),
        pytest.param(signed_with_the_public_key(), id="signed with the public key"),
        pytest.param(of_another_key(), id="of another key"),
        pytest.param(changed(), id="changed"),
        pytest.param(signer.sign(ANN, 60), id="of tests"),
    ],
)
async def test_tokens_that_are_not_ours(sent: str) -> None:
    assert await refusal(sent) == reasons.ERROR_REASON_TOKEN_INVALID


async def test_the_tokens_of_tests_are_good() -> None:
    assert await verifier.verify(signer.sign(ANN, 60)) == ANN
    assert jwt.get_unverified_header(signer.sign(ANN, 60))["kid"] == KID


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signatures were computed."""
    seen: list[str] = []
    decode = jwt.decode

    def note(sent: str, *args: Any, **options: Any) -> Any:
        seen.append(sent)
        return decode(sent, *args, **options)

    monkeypatch.setattr(jwt, "decode", note)
    return seen


async def test_a_token_that_comes_again_is_known(decoded: list[str]) -> None:
    known = TokenVerifier(LocalKeys({"k1": PUBLIC}))
    first, second = token(sub="ann"), token(sub="bob")
    for _ in range(3):
        assert (await known.verify(first)).id == "ann"
        assert (await known.verify(second)).id == "bob"
    assert decoded == [first, second]


async def test_what_is_wrong_with_a_token_is_not_remembered(decoded: list[str]) -> None:
    known = TokenVerifier(LocalKeys({"k1": PUBLIC}))
    sent = changed()
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await known.verify(sent)
    assert decoded == [sent, sent]


@pytest.mark.parametrize("ahead", [125, -125])
async def test_a_known_token_whose_time_is_over_is_checked_anew(
    ahead: float, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = TokenVerifier(LocalKeys({"k1": PUBLIC}))
    sent = token()
    await known.verify(sent)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + ahead)
    await known.verify(sent)
    assert decoded == [sent, sent]


async def test_a_known_token_of_a_withdrawn_key_is_refused() -> None:
    published = Published("k1", "k2")
    keys = RemoteKeys(published.fetch)
    known, sent = TokenVerifier(keys), token()
    assert await known.verify(sent)
    del published.keys[0]
    await keys.refresh()
    with pytest.raises(Unauthenticated):
        await known.verify(sent)


async def test_a_known_token_is_refused_once_its_keys_id_is_anothers() -> None:
    published = Published("k1")
    keys = RemoteKeys(published.fetch)
    known, sent = TokenVerifier(keys), token()
    assert await known.verify(sent)
    published.keys[:] = [jwk("k1", Ed25519PrivateKey.generate().public_key())]
    await keys.refresh()
    with pytest.raises(Unauthenticated):
        await known.verify(sent)


async def test_only_so_many_tokens_are_known(
    decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_VERIFIED", 2)
    known = TokenVerifier(LocalKeys({"k1": PUBLIC}))
    first, second, third = (token(sub=name) for name in ("ann", "bob", "cid"))
    # The one that was away the longest makes room.
    for sent in (first, second, first, third, first, second):
        await known.verify(sent)
    assert decoded == [first, second, third, second]


class Published:
    """The auth service's keys."""

    def __init__(self, *kids: str) -> None:
        self.keys = [jwk(kid) for kid in kids]
        self.fetched = 0
        self.away = False

    async def fetch(self) -> list[Jwk]:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("auth is away")
        return self.keys


async def test_keys_are_fetched_once() -> None:
    published = Published("k1")
    keys = RemoteKeys(published.fetch)
    assert not keys.ready
    found = await asyncio.gather(*(keys.key("k1") for _ in range(20)))
    assert len(found) == 20
    assert None not in found
    assert published.fetched == 1
    assert keys.ready


async def test_an_unknown_key_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REFETCH_SECONDS", 0.0)
    published = Published("k1")
    keys = RemoteKeys(published.fetch)
    await keys.refresh()
    published.keys.append(jwk("k2"))
    assert await keys.key("k2") is not None
    assert published.fetched == 2


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, unknown keys are fetched once in a test."""
    monkeypatch.setattr(tokens, "REFETCH_SECONDS", 3600.0)


@pytest.mark.usefixtures("seldom")
async def test_unknown_keys_are_not_fetched_all_the_time() -> None:
    published = Published("k1")
    keys = RemoteKeys(published.fetch)
    found = [await keys.key(f"made up {n}") for n in range(20)]
    assert found == [None] * 20
    assert published.fetched == 1


@pytest.mark.usefixtures("seldom")
async def test_without_keys_nobody_can_tell() -> None:
    published = Published()
    published.away = True
    keys = TokenVerifier(RemoteKeys(published.fetch))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await keys.verify(token())
    assert published.fetched == 1


async def test_old_keys_stay_while_auth_is_away() -> None:
    published = Published("k1")
    keys = RemoteKeys(published.fetch)
    await keys.refresh()
    published.away = True
    with pytest.raises(Unavailable):
        await keys.refresh()
    assert await keys.key("k1") is not None


async def test_keys_of_another_kind_are_left_out() -> None:
    published = Published("k1")
    published.keys.append(Jwk(kty="EC", crv="P-256", x="AA", kid="k2"))
    keys = RemoteKeys(published.fetch)
    await keys.refresh()
    assert await keys.key("k1") is not None
    assert await keys.key("k2") is None
