"""The keys that sign access tokens.

They lie in a folder as `*.pem` files: Ed25519 private keys, PKCS#8, not encrypted, named so that their order is
their age (`20250131T120000Z.pem`). All are published; the last by name signs, once every verifier has had the time to
fetch it. So a key is replaced without a pause and without a restart:

1. Add the new file. It is published within half a minute, and signs from about six minutes after on.
2. Remove the old file once the last token that it signed has run out: with tokens of ten minutes, twenty minutes after
   the first step is safe.

`openssl genpkey -algorithm ed25519 -out "$(date -u +%Y%m%dT%H%M%SZ).pem"` makes one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from recmesh_auth.errors import SigningKeysUnusable
from recmesh_kit.identity import REFRESH_SECONDS
from recmesh_kit.tokens import ALGORITHM, TokenSigner

log = structlog.get_logger()

RELOAD_SECONDS = 30.0
"""How often the folder is read."""
SIGNS_AFTER_SECONDS = REFRESH_SECONDS + 2 * RELOAD_SECONDS
"""The age of a file at which every replica has published it and every verifier has fetched it since."""


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """A public key as a JSON Web Key (RFC 8037). Its id is its thumbprint (RFC 7638).

    Attributes:
        x: The key, 32 bytes in base64url without padding.
    """

    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = ALGORITHM
    use: str = "sig"

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> PublicJwk:
        """The description of a key."""
        return cls(_base64url(key.public_bytes_raw()))

    @property
    def kid(self) -> str:
        """SHA-256 of the required members in the order of the alphabet."""
        members = {"crv": self.crv, "kty": self.kty, "x": self.x}
        return _base64url(
            hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
        )


@dataclass(frozen=True, slots=True)
class _KeyFile:
    """One file of the folder, as it was read."""

    key: Ed25519PrivateKey
    age_seconds: float


class SigningKeys:
    """What is in the folder now. Also the `KeySource` with which this service verifies the tokens of its callers.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signer: TokenSigner | None = None
        self._signing_kid = ""
        self._public: dict[str, Ed25519PublicKey] = {}

    async def reload(self) -> None:
        """Reads the folder anew. When it cannot be used, what was read before stays.

        Raises:
            SigningKeysUnusable: No file, or one that is no Ed25519 private key.
        """
        files = await asyncio.to_thread(_read, self._folder)
        signing = _signing(files)
        kid = PublicJwk.of(signing.public_key()).kid
        self._public = {
            PublicJwk.of(public).kid: public for public in (file.key.public_key() for file in files)
        }
        if kid != self._signing_kid:
            self._signer, self._signing_kid = TokenSigner(signing, kid), kid
            log.info("signing key", kid=kid, published=list(self._public))

    @property
    def signer(self) -> TokenSigner:
        """Signs with the key in force. `reload` has to have succeeded once."""
        assert self._signer is not None
        return self._signer

    @property
    def published(self) -> list[PublicJwk]:
        """All public keys, the oldest first."""
        return [PublicJwk.of(key) for key in self._public.values()]

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """The public key with this id; None when there is none."""
        return self._public.get(kid)


def _read(folder: Path) -> list[_KeyFile]:
    """The files by name."""
    files = [_read_file(path) for path in sorted(folder.glob("*.pem"))]
    if not files:
        raise SigningKeysUnusable(f"RECMESH_SIGNING_KEYS_DIR: there is no *.pem file in {folder}")
    return files


def _read_file(path: Path) -> _KeyFile:
    try:
        age = time.time() - path.stat().st_mtime
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SigningKeysUnusable(f"{path} cannot be read: {error.strerror}") from error
    # The errors of the library may quote what it read.
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeysUnusable(f"{path} is not an Ed25519 private key (PKCS#8, not encrypted)")
    return _KeyFile(key, age)


def _signing(files: list[_KeyFile]) -> Ed25519PrivateKey:
    """The last key that is old enough. While all files are young (a mounted volume renews them all at once), the
    first: the one that has been published for longest.
    """
    old_enough = [file.key for file in files if file.age_seconds >= SIGNS_AFTER_SECONDS]
    return old_enough[-1] if old_enough else files[0].key


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
