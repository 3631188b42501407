"""How to sign in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Password:
    """As an account. When the sign-in ends, it is made anew."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """As a program."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """With tokens from elsewhere.

    Attributes:
        access_token: Goes along with each call; empty: the refresh token fetches one at the first call.
        refresh_token: Renews the access token once it has run out; empty when there is none.

    Raises:
        ValueError: The access token cannot be sent, or there is no token at all.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        token = self.access_token
        if token == "" and self.refresh_token:
            return
        if not (token.isascii() and token.isprintable() and token.strip()):
            raise ValueError("an access token is a line of ASCII characters")


Credentials = Password | ApiKey | Token
