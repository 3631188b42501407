"""What this service refuses."""

from __future__ import annotations

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import AlreadyExists, FailedPrecondition, Unauthenticated


class SigningKeysUnusable(Exception):
    """The folder of signing keys has none, or one that cannot be read. The message is one line."""


class AddressTaken(AlreadyExists):
    """The e-mail address has an account."""

    def __init__(self) -> None:
        super().__init__(
            "users", "This e-mail address has an account: sign in, or use another address."
        )


class CredentialsInvalid(Unauthenticated):
    """No account has this address and password: never say which of the two is wrong."""

    reason = reasons.ERROR_REASON_CREDENTIALS_INVALID

    def __init__(self) -> None:
        super().__init__("No account has this e-mail address and password.")


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is unknown, has run out, or its sign-in was ended."""

    reason = reasons.ERROR_REASON_REFRESH_TOKEN_INVALID

    def __init__(self) -> None:
        super().__init__("The refresh token is unknown, expired or revoked: sign in again.")


class RefreshTokenReused(Unauthenticated):
    """The refresh token was used before. Its sign-in is over."""

    reason = reasons.ERROR_REASON_REFRESH_TOKEN_REUSED

    def __init__(self) -> None:
        super().__init__(
            "The refresh token was used before, so the sign-in was ended: sign in again."
        )


class ApiKeyInvalid(Unauthenticated):
    """No program has this key."""

    reason = reasons.ERROR_REASON_API_KEY_INVALID

    def __init__(self) -> None:
        super().__init__("The API key is unknown or revoked.")


class LastAdmin(FailedPrecondition):
    """Somebody has to be left who can grant roles."""

    def __init__(self) -> None:
        super().__init__(
            "This is the deployment's only admin: make another account admin of it first."
        )
