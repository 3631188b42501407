"""What the auth service reads from its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from recmesh_kit.settings import DatabaseSettings, ServiceSettings

ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
KeyHash = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{64}$")]
MIN_PASSWORD = 8
MAX_PASSWORD = 128


class AuthSettings(ServiceSettings, DatabaseSettings):
    """Settings of the auth service."""

    signing_keys_dir: Path = Field(
        description="Folder of the Ed25519 keys that sign tokens, `*.pem` (PKCS#8). The last by name signs, all are "
        "published; a new file counts without a restart."
    )
    service_key_hashes: dict[ServiceName, KeyHash] = Field(
        default={},
        description='Who may sign in by a key: a JSON object, {"<name>": "<SHA-256 of the key, in hex>"}. A key is '
        "the text `rmk_<name>_<secret>`.",
    )
    admin_email: SecretStr | None = Field(
        None,
        description="Address of the first admin, whose account is made at start if there is none.",
    )
    admin_password: SecretStr | None = Field(
        None,
        description="Password of the first admin, 8 to 128 characters. Not looked at again later.",
    )
    access_token_seconds: int = Field(
        600, ge=60, le=3600, description="How long an access token is good for."
    )
    refresh_token_seconds: int = Field(
        30 * 24 * 3600, ge=3600, description="How long a refresh token is good for."
    )

    @model_validator(mode="after")
    def _whole_admin(self) -> Self:
        if (self.admin_email is None) != (self.admin_password is None):
            raise ValueError("RECMESH_ADMIN_EMAIL and RECMESH_ADMIN_PASSWORD go together")
        if self.admin_email and "@" not in self.admin_email.get_secret_value():
            raise ValueError("RECMESH_ADMIN_EMAIL is not an e-mail address")
        if self.admin_password and not (
            MIN_PASSWORD <= len(self.admin_password.get_secret_value()) <= MAX_PASSWORD
        ):
            raise ValueError(
                f"RECMESH_ADMIN_PASSWORD needs {MIN_PASSWORD} to {MAX_PASSWORD} characters"
            )
        return self
