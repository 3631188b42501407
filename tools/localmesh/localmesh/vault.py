"""Passwords and keys: made at the first start, kept in files that only their owner may read."""

import hashlib
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from localmesh.paths import private_dir
from recmesh_kit.provision import ROLES


class Vault:
    """The secrets in one folder. The same question has the same answer at every start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def password(self, name: str) -> str:
        """The password `name`: 32 characters that need no quoting in a URL."""
        return self._keep(self.password_file(name), lambda: secrets.token_urlsafe(24))

    def password_file(self, name: str) -> Path:
        """The file that holds the password `name` and nothing else."""
        return self._folder / f"{name}_password"

    def api_key(self, service: str) -> str:
        """The API key with which `service` signs in: `rmk_<service>_` and 43 characters."""
        path = self._folder / f"{service}_key"
        return self._keep(path, lambda: f"rmk_{service}_{secrets.token_urlsafe(32)}")

    def api_key_hash(self, service: str) -> str:
        """SHA-256, in hex, of the whole text of that key."""
        return hashlib.sha256(self.api_key(service).encode()).hexdigest()

    def signing_keys(self) -> Path:
        """The folder of the keys that sign tokens, `<UTC time>.pem`: at least one, Ed25519."""
        folder = private_dir(self._folder / "signing")
        if not any(folder.glob("*.pem")):
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _write_once(folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.pem", pem)
        return folder

    def _keep(self, path: Path, make: Callable[[], str]) -> str:
        private_dir(self._folder)
        if not path.exists():
            _write_once(path, make().encode())
        return path.read_text()


def role_passwords(vault: Vault) -> dict[str, str]:
    """The role of each service in PostgreSQL -> its password."""
    return {role: vault.password(role) for role in ROLES}


def _write_once(path: Path, content: bytes) -> None:
    """Write the whole file or nothing; of two writers at the same time the first one wins."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_bytes(content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
