from __future__ import annotations

import asyncio
import base64
import json
import stat
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from apps.cli.tests.conftest import Recmesh
from google.protobuf.empty_pb2 import Empty
from sdk.python.tests.fake import Failure, Fake

from recmesh.auth.v1.auth_service_pb2 import TokenPair
from recmesh.auth.v1.user_pb2 import User
from recmesh.catalog.v1.catalog_service_pb2 import ListCatalogsResponse
from recmesh_cli.sign_in import sign_in_of
from recmesh_cli.store import SignIn, Store, folder
from recmesh_client import Token

ME = User(name="users/u-1", email="me@example.org")


def jwt(made: float, ends: float, name: str = "") -> str:
    said = json.dumps({"iat": made, "exp": ends, "jti": name}).encode()
    payload = base64.urlsafe_b64encode(said).decode().rstrip("=")
    return f"h.{payload}.s"


def kept(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((config / "sign-ins.json").read_text())["sign_ins"]
    return found


def keep(config: Path, target: str, sign_in: SignIn) -> None:
    store = Store(config)
    with store.locked():
        store.put(target, sign_in)


def modes(config: Path) -> list[int]:
    paths = (config, *sorted(config.iterdir()))
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


def said_as(fake: Fake, method: str) -> list[str]:
    return [call.metadata.get("authorization", "") for call in fake.of(method)]


async def test_a_password_signs_in_and_nothing_secret_is_said(
    fake: Fake, recmesh: Recmesh, config: Path
) -> None:
    fake.script("Login", TokenPair(access_token="t-1", refresh_token="r-1", expires_in=900))
    done = await recmesh("login", "--email", "me@example.org", stdin="pass word\n")
    assert (done.code, done.out) == (0, f"Signed in as me@example.org at {fake.target}.\n")
    assert fake.calls[0].request.password == "pass word"
    assert kept(config)[fake.target]["refresh_token"] == "r-1"
    assert "pass word" not in (config / "sign-ins.json").read_text() + done.out + done.err
    assert modes(config) == [0o700, 0o600, 0o600]
    fake.script("ListCatalogs", ListCatalogsResponse())
    assert (await recmesh("catalogs")).code == 0
    assert said_as(fake, "ListCatalogs") == ["Bearer t-1"]


async def test_an_account_can_be_opened(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("Register", ME)
    fake.script("Login", TokenPair(access_token="t-1", refresh_token="r-1", expires_in=900))
    done = await recmesh("login", "--register", stdin="me@example.org\npass word\n")
    assert done.code == 0
    assert fake.of("Register")[0].request.email == "me@example.org"


async def test_an_api_key_is_exchanged_by_each_command(
    fake: Fake, recmesh: Recmesh, config: Path
) -> None:
    fake.always("ExchangeApiKey", lambda _: TokenPair(access_token="t-k", expires_in=900))
    assert (await recmesh("login", "--api-key", stdin="rk_1\n")).code == 0
    fake.script("ListCatalogs", ListCatalogsResponse(), ListCatalogsResponse())
    assert (await recmesh("catalogs")).code == 0
    assert (
        await recmesh("catalogs", RECMESH_API_KEY="rk_2", XDG_CONFIG_HOME="/dev/null")
    ).code == 0
    assert said_as(fake, "ListCatalogs") == ["Bearer t-k"] * 2
    asked = [call.request.api_key for call in fake.of("ExchangeApiKey")]
    assert asked == ["rk_1", "rk_1", "rk_2"]


async def test_tokens_of_elsewhere(fake: Fake, recmesh: Recmesh, config: Path) -> None:
    fake.script("GetUser", ME)
    assert (await recmesh("login", "--token-stdin", stdin="t-1\nr-1\n")).code == 0
    assert kept(config)[fake.target]["access_token"] == "t-1"
    assert (await recmesh("login", "--token-stdin", stdin="\n")).code == 2


async def test_a_wrong_password_is_a_line(fake: Fake, recmesh: Recmesh, config: Path) -> None:
    refusal = Failure(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID", "Not right.")
    fake.script("Login", refusal)
    done = await recmesh("login", "--email", "me@example.org", stdin="no\n")
    assert done.code == 1
    assert done.err.startswith("Error: Not right. Check the password")
    assert done.err.count("\n") == 1
    assert not (config / "sign-ins.json").exists()


async def test_signing_out_tells_the_service_and_forgets(
    fake: Fake, recmesh: Recmesh, config: Path
) -> None:
    keep(config, fake.target, SignIn("t-1", "r-1"))
    fake.script("Logout", Empty())
    assert (await recmesh("logout")).code == 0
    assert fake.of("Logout")[0].request.refresh_token == "r-1"
    assert kept(config) == {}
    done = await recmesh("catalogs")
    assert done.code == 1
    assert "recmesh login" in done.err


async def test_a_sign_in_is_sent_to_no_other_deployment(
    fake: Fake, recmesh: Recmesh, config: Path
) -> None:
    keep(config, "elsewhere:443", SignIn("t-1", "r-1"))
    assert (await recmesh("catalogs")).code == 1
    assert not fake.calls


async def test_commands_at_the_same_time_use_a_refresh_token_once(
    fake: Fake, recmesh: Recmesh, config: Path
) -> None:
    now = time.time()
    keep(config, fake.target, SignIn(jwt(now - 900, now), "r-1", now - 60))
    fresh = jwt(now, now + 900, "fresh")
    fake.script("RefreshToken", TokenPair(access_token=fresh, refresh_token="r-2", expires_in=900))
    fake.always("ListCatalogs", lambda _: ListCatalogsResponse())
    done = await asyncio.gather(*(recmesh("catalogs") for _ in range(3)))
    assert [one.code for one in done] == [0, 0, 0]
    assert said_as(fake, "ListCatalogs") == [f"Bearer {fresh}"] * 3
    assert kept(config)[fake.target]["refresh_token"] == "r-2"
    assert kept(config)[fake.target]["renew_at"] > now + 600


async def test_an_ended_sign_in_says_what_to_do(fake: Fake, recmesh: Recmesh, config: Path) -> None:
    keep(config, fake.target, SignIn("t-1", "r-1", 1.0))
    fake.script(
        "RefreshToken", Failure(grpc.StatusCode.UNAUTHENTICATED, "REFRESH_TOKEN_INVALID", "Ended.")
    )
    done = await recmesh("catalogs")
    assert (done.code, done.err) == (1, "Error: Ended. Sign in with recmesh login.\n")


def test_when_a_token_is_renewed() -> None:
    now = time.time()
    # By this machine's clock, however wrong it is.
    made = sign_in_of(Token(jwt(5_000, 5_900), "r"))
    assert now + 800 < made.renew_at < now + 3600
    assert sign_in_of(Token(jwt(5_000, 5_900), "r"), fresh=False).renew_at == 5_840
    assert sign_in_of(Token("opaque", "r")).renew_at == 0
    assert "5_000" not in repr(made)


def test_secrets_are_not_in_what_is_printed_of_a_sign_in() -> None:
    assert "secret" not in repr(SignIn("secret", "secret", 0, "secret"))


@pytest.mark.parametrize("said", ["", "{", "[]", '{"version": 2}', '{"version": 1, "sign_ins": 1}'])
def test_a_file_that_is_not_understood_holds_nobody(tmp_path: Path, said: str) -> None:
    (tmp_path / "sign-ins.json").write_text(said)
    store = Store(tmp_path)
    assert store.get("a:1") is None
    with store.locked():
        store.put("a:1", SignIn("t"))
    assert store.get("a:1") == SignIn("t")


def test_where_it_is_kept() -> None:
    assert folder({"XDG_CONFIG_HOME": "/x"}) == Path("/x/recmesh")
    assert folder({"XDG_CONFIG_HOME": "x"}) == Path.home() / ".config/recmesh"
    assert folder({}) == Path.home() / ".config/recmesh"
