"""Sign-ins that last: a file that only its owner can read."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_VERSION = 1


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in. It is for one deployment, and no other is ever sent it.

    Attributes:
        access_token: Goes along with calls.
        refresh_token: Renews it, once.
        renew_at: From when on it is to be renewed, in seconds since 1970; 0 when that is not known.
        api_key: Signs in anew each time, in the place of tokens.
    """

    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    renew_at: float = 0.0
    api_key: str = field(default="", repr=False)


def folder(variables: Mapping[str, str] = os.environ) -> Path:
    """Where it is kept: as XDG says."""
    configured = variables.get("XDG_CONFIG_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".config"
    return base / "recmesh"


class Store:
    """Sign-ins by the address of the auth service.

    Args:
        place: The folder to keep them in.
    """

    def __init__(self, place: Path) -> None:
        self._folder = place
        self._file = place / "sign-ins.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time. A refresh token works once: two that use it at the same time lose the sign-in."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def get(self, target: str) -> SignIn | None:
        """The sign-in at an address."""
        said = self._read().get(target)
        return None if said is None else SignIn(**said)

    def put(self, target: str, sign_in: SignIn | None) -> None:
        """Keeps a sign-in, or none. To be called with the lock held."""
        kept = self._read()
        kept.pop(target, None)
        if sign_in is not None:
            kept[target] = asdict(sign_in)
        text = json.dumps({"version": _VERSION, "sign_ins": kept}, indent=2)
        # Made with mode 0600, whole or not at all.
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".sign-ins-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self._file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            said = json.loads(self._file.read_text(encoding="utf-8"))
            kept = said["sign_ins"] if said["version"] == _VERSION else {}
            return {target: asdict(SignIn(**one)) for target, one in kept.items()}
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return {}
