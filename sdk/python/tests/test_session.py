from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from sdk.python.tests.fake import Failure, Fake, Hang

from recmesh.auth.v1.auth_service_pb2 import TokenPair
from recmesh.auth.v1.user_pb2 import User as WireUser
from recmesh_client import (
    ApiKey,
    AsyncClient,
    Cancelled,
    Credentials,
    DeadlineExceeded,
    ErrorReason,
    Password,
    Retry,
    SignInFailed,
    Token,
    Unauthenticated,
    Unavailable,
)
from recmesh_client.wire import session

ADA = Password("ada@example.org", "correct horse")
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
EXPIRED = Failure(UNAUTHENTICATED, "TOKEN_EXPIRED")
USER = WireUser(name="users/1")


def pair(number: int, seconds: int = 900) -> TokenPair:
    return TokenPair(
        access_token=f"access-{number}", refresh_token=f"refresh-{number}", expires_in=seconds
    )


@asynccontextmanager
async def signed(fake: Fake, credentials: Credentials | None) -> AsyncIterator[AsyncClient]:
    retry = Retry(attempts=2, base=0.001)
    async with AsyncClient.connect(fake.target, credentials=credentials, retry=retry) as client:
        yield client


def tokens(fake: Fake) -> list[str]:
    return [call.metadata.get("authorization", "") for call in fake.of("GetUser")]


async def test_a_password_signs_in_once(fake: Fake) -> None:
    fake.script("Login", pair(1))
    fake.script("GetUser", USER, USER)
    async with signed(fake, ADA) as client:
        await client.get_user()
        await client.get_user()
    login = fake.of("Login")[0]
    assert (login.request.email, login.request.password) == (ADA.email, ADA.password)
    assert "authorization" not in login.metadata
    assert tokens(fake) == ["Bearer access-1"] * 2


async def test_an_api_key_is_exchanged_again_when_its_token_ends(fake: Fake) -> None:
    fake.script(
        "ExchangeApiKey", TokenPair(access_token="a"), TokenPair(access_token="b", expires_in=900)
    )
    fake.script("GetUser", USER, USER)
    async with signed(fake, ApiKey("key")) as client:
        await client.get_user()
        await client.get_user()
    assert {call.request.api_key for call in fake.of("ExchangeApiKey")} == {"key"}
    assert tokens(fake) == ["Bearer a", "Bearer b"]


async def test_nobody_sends_no_token(fake: Fake) -> None:
    fake.script("GetUser", Failure(UNAUTHENTICATED, "TOKEN_MISSING"))
    async with signed(fake, None) as client:
        with pytest.raises(Unauthenticated):
            await client.get_user()
        with pytest.raises(Unauthenticated):
            await client.token()
    assert tokens(fake) == [""]


async def test_a_wrong_password_raises_from_the_call(fake: Fake) -> None:
    fake.script("Login", Failure(UNAUTHENTICATED, "CREDENTIALS_INVALID"))
    async with signed(fake, ADA) as client:
        with pytest.raises(SignInFailed):
            await client.get_user()


async def test_calls_at_once_share_a_sign_in(fake: Fake) -> None:
    fake.script("Login", pair(1))
    fake.script("GetUser", *[USER] * 8)
    async with signed(fake, ADA) as client:
        await asyncio.gather(*(client.get_user() for _ in range(8)))


async def test_a_token_that_has_ended_is_refreshed_by_the_newest_refresh_token(fake: Fake) -> None:
    fake.script("Login", pair(1, seconds=0))
    fake.script("RefreshToken", pair(2, seconds=0), pair(3))
    fake.script("GetUser", USER, USER, USER)
    async with signed(fake, ADA) as client:
        for _ in range(3):
            await client.get_user()
    used = [call.request.refresh_token for call in fake.of("RefreshToken")]
    assert used == ["refresh-1", "refresh-2"]
    assert tokens(fake) == ["Bearer access-1", "Bearer access-2", "Bearer access-3"]


async def test_a_token_is_renewed_before_it_ends_and_meanwhile_used(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = Hang()
    fake.script("Login", pair(1))
    fake.script("RefreshToken", hang)
    fake.script("GetUser", USER, USER)
    async with signed(fake, ADA) as client:
        await client.get_user()
        later = time.monotonic() + 900 - session.RENEW_SECONDS
        monkeypatch.setattr(session, "monotonic", lambda: later)
        await client.get_user()
        await asyncio.wait_for(hang.asked.wait(), 30)
    assert tokens(fake) == ["Bearer access-1"] * 2


async def test_a_renewal_that_fails_does_no_harm_while_the_token_is_good(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.script("Login", pair(1))
    fake.script("RefreshToken", Failure(grpc.StatusCode.UNAVAILABLE), pair(2))
    fake.script("GetUser", *[USER] * 2)
    async with signed(fake, ADA) as client:
        await client.get_user()
        later = time.monotonic() + 900 - session.RENEW_SECONDS
        monkeypatch.setattr(session, "monotonic", lambda: later)
        await client.get_user()
        await asyncio.gather(*_sign_ins())
        monkeypatch.setattr(session, "monotonic", lambda: later + session.RENEW_SECONDS)
        assert await client.token() == Token("access-2", "refresh-2")


async def test_a_password_signs_in_anew_when_a_refresh_is_not_answered_in_time(fake: Fake) -> None:
    away = Failure(grpc.StatusCode.UNAVAILABLE)
    fake.script("Login", pair(1, seconds=0), away, pair(2))
    fake.script("RefreshToken", away)
    fake.script("GetUser", USER, USER)
    async with signed(fake, ADA) as client:
        await client.get_user()
        await client.get_user()
    assert tokens(fake) == ["Bearer access-1", "Bearer access-2"]


async def test_without_a_password_a_refresh_that_is_not_answered_is_tried_at_the_next_call(
    fake: Fake,
) -> None:
    fake.script("RefreshToken", Failure(grpc.StatusCode.UNAVAILABLE), pair(2))
    fake.script("GetUser", USER)
    async with signed(fake, Token("", "refresh-1")) as client:
        with pytest.raises(Unavailable):
            await client.get_user()
        await client.get_user()
    assert tokens(fake) == ["Bearer access-2"]


@pytest.mark.parametrize("reason", ["REFRESH_TOKEN_INVALID", "REFRESH_TOKEN_REUSED"])
async def test_a_password_signs_in_anew_when_the_sign_in_has_ended(fake: Fake, reason: str) -> None:
    fake.script("Login", pair(1, seconds=0), pair(2))
    fake.script("RefreshToken", Failure(UNAUTHENTICATED, reason))
    fake.script("GetUser", USER, USER)
    async with signed(fake, ADA) as client:
        await client.get_user()
        await client.get_user()
    assert tokens(fake) == ["Bearer access-1", "Bearer access-2"]


async def test_without_a_password_an_ended_sign_in_stays_ended(fake: Fake) -> None:
    fake.script("GetUser", EXPIRED)
    fake.script("RefreshToken", Failure(UNAUTHENTICATED, "REFRESH_TOKEN_INVALID"))
    async with signed(fake, Token("old", "refresh-0")) as client:
        for reason in (ErrorReason.REFRESH_TOKEN_INVALID, ErrorReason.UNKNOWN):
            with pytest.raises(Unauthenticated) as raised:
                await client.get_user()
            assert raised.value.reason is reason


@pytest.mark.parametrize("reason", ["TOKEN_EXPIRED", "TOKEN_INVALID"])
async def test_a_refused_token_is_renewed_and_the_call_repeated(fake: Fake, reason: str) -> None:
    fake.script("SetUserRoles", Failure(UNAUTHENTICATED, reason), USER)
    fake.script("RefreshToken", pair(2))
    async with signed(fake, Token("old", "refresh-1")) as client:
        await client.set_user_roles("1", ())
        assert await client.token() == Token("access-2", "refresh-2")
    sent = [call.metadata["authorization"] for call in fake.of("SetUserRoles")]
    assert sent == ["Bearer old", "Bearer access-2"]


async def test_a_refresh_token_alone_fetches_an_access_token_at_the_first_call(fake: Fake) -> None:
    fake.script("RefreshToken", pair(2))
    fake.script("GetUser", USER, USER)
    async with signed(fake, Token("", "refresh-1")) as client:
        await client.get_user()
        await client.get_user()
        assert await client.token() == Token("access-2", "refresh-2")
    assert tokens(fake) == ["Bearer access-2"] * 2


async def test_a_refresh_token_alone_that_is_no_good(fake: Fake) -> None:
    fake.script("RefreshToken", Failure(UNAUTHENTICATED, "REFRESH_TOKEN_INVALID"))
    async with signed(fake, Token("", "refresh-1")) as client:
        for reason in (ErrorReason.REFRESH_TOKEN_INVALID, ErrorReason.UNKNOWN):
            with pytest.raises(Unauthenticated) as raised:
                await client.get_user()
            assert raised.value.reason is reason


async def test_a_token_that_is_refused_again_is_given_up(fake: Fake) -> None:
    fake.script("GetUser", EXPIRED, EXPIRED)
    fake.script("RefreshToken", pair(2))
    async with signed(fake, Token("old", "refresh-1")) as client:
        with pytest.raises(Unauthenticated):
            await client.get_user()


async def test_a_token_alone_cannot_be_renewed(fake: Fake) -> None:
    fake.script("GetUser", EXPIRED)
    async with signed(fake, Token("old")) as client:
        with pytest.raises(Unauthenticated):
            await client.get_user()


async def test_a_refresh_token_survives_a_service_that_is_away(fake: Fake) -> None:
    fake.script("GetUser", EXPIRED, USER)
    fake.script("RefreshToken", Failure(grpc.StatusCode.UNAVAILABLE), pair(2))
    async with signed(fake, Token("old", "refresh-1")) as client:
        with pytest.raises(Unavailable):
            await client.get_user()
        await client.get_user()
    assert [call.request.refresh_token for call in fake.of("RefreshToken")] == ["refresh-1"] * 2


async def test_a_caller_that_goes_away_leaves_the_sign_in_to_the_others(fake: Fake) -> None:
    fake.script("Login", pair(1))
    fake.script("GetUser", USER)
    async with signed(fake, ADA) as client:
        first = asyncio.create_task(client.get_user())
        await asyncio.sleep(0)
        assert _sign_ins()
        first.cancel()
        await client.get_user()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_who_waits_for_a_sign_in_that_is_broken_off_is_not_cancelled(fake: Fake) -> None:
    fake.script("Login", first := Hang(), second := Hang())
    async with signed(fake, ADA) as client:
        before = asyncio.create_task(client.get_user())
        await asyncio.wait_for(first.asked.wait(), 60)
        anew = asyncio.create_task(client.sign_in(ADA))
        with pytest.raises(Cancelled):
            await before
        await asyncio.wait_for(second.asked.wait(), 60)
    with pytest.raises(Cancelled):
        await anew


def _sign_ins() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task.get_name() == "recmesh-sign-in"}


async def test_a_sign_in_counts_towards_the_deadline(fake: Fake) -> None:
    fake.always("Login", lambda _: Hang())
    async with signed(fake, ADA) as client:
        with pytest.raises(DeadlineExceeded):
            await client.get_user(timeout=0.2)


async def test_signing_in_as_somebody_else_and_out(fake: Fake) -> None:
    fake.script("Login", pair(1))
    fake.script("GetUser", USER, USER, USER)
    fake.script("Logout", Empty())
    async with signed(fake, Token("old")) as client:
        await client.get_user()
        await client.sign_in(ADA)
        await client.get_user()
        await client.sign_out()
        await client.get_user()
    assert fake.of("Logout")[0].request.refresh_token == "refresh-1"
    assert tokens(fake) == ["Bearer old", "Bearer access-1", ""]


@pytest.mark.parametrize("token", ["", " ", "a\nb", "a…"])
def test_a_token_that_cannot_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        Token(token)


def test_secrets_are_not_printed() -> None:
    assert "horse" not in repr(ADA)
    assert "key" not in repr(ApiKey("key"))[len("ApiKey") :]
    assert "old" not in repr(Token("old", "old"))
