"""The compose file, and what lies around it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from localmesh.secret_files import Servers, write_secrets
from manifests.documents import dig, each
from manifests.processes import Process, process_of, service_of

FILE = "docker-compose.yml"
SECRETS = "deploy/docker/secrets"
"""Where `make compose-secrets` puts them."""
_DEFAULT = re.compile(r"\$\{\w+(?::?[-?]([^}]*))?\}|\$\w+")


@dataclass(frozen=True)
class Compose:
    """A compose file, and what lies around it."""

    root: Path
    content: Mapping[str, Any]
    secrets: Mapping[str, str]
    """The files that `make compose-secrets` makes, by their path below SECRETS, and what is in them."""

    @classmethod
    def read(cls, root: Path) -> Compose:
        """The one of a checkout. Secrets are made anew, elsewhere: those of the checkout are looked at by nobody."""
        with tempfile.TemporaryDirectory(prefix="recmesh-manifests-") as folder:
            there = Path(folder) / "secrets"
            write_secrets(there, Servers())
            made = {
                path.relative_to(there).as_posix(): path.read_text()
                for path in there.rglob("*")
                if path.is_file()
            }
        return cls(root, yaml.safe_load((root / FILE).read_text()), made)

    @property
    def services(self) -> Mapping[str, Any]:
        """Name -> service."""
        return self.content.get("services") or {}

    def ours(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Those of our images."""
        for name, service in self.services.items():
            if service_of(plain(service.get("image", ""))):
                yield name, service

    def processes(self) -> Iterator[tuple[str, Mapping[str, Any], Process]]:
        """Those that run one of our processes."""
        for name, service in self.ours():
            container = {
                "image": plain(service["image"]),
                "command": _words(service.get("entrypoint")),
                "args": _words(service.get("command")),
            }
            if process := process_of(container):
                yield name, service, process


def plain(text: Any) -> str:
    """With the defaults of its variables; one without a default is `1`."""
    return _DEFAULT.sub(lambda found: found[1] or "1", str(text))


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Name -> value of what stands in the file itself, whichever way it is written."""
    given = service.get("environment") or {}
    if isinstance(given, list):
        given = dict(item.partition("=")[::2] for item in given)
    return {name: "" if value is None else str(value) for name, value in given.items()}


def env_files_of(service: Mapping[str, Any]) -> list[str]:
    """The files that further variables are read from."""
    given = service.get("env_file") or []
    entries = [given] if isinstance(given, str | dict) else given
    return [entry["path"] if isinstance(entry, dict) else entry for entry in entries]


def secret_files(compose: Compose, service: Mapping[str, Any], folder: str) -> dict[str, str]:
    """Name -> content of what lies in the folder that RECMESH_SECRETS_DIR names: one of SECRETS, mounted as it is."""
    known = compose.content.get("secrets") or {}
    for item in each(service, "secrets"):
        long = item if isinstance(item, dict) else {"source": item}
        target = PurePosixPath("/run/secrets", long.get("target") or long["source"])
        below = _below_secrets(dig(known, long["source"], "file") or "")
        if below is not None and target.as_posix() == folder:
            return {
                PurePosixPath(path).name: content
                for path, content in compose.secrets.items()
                if PurePosixPath(path).parent.as_posix() == below
            }
    return {}


def from_files(compose: Compose, service: Mapping[str, Any]) -> dict[str, str]:
    """Name -> value of what stands in its files of variables."""
    lines = [
        line
        for path in env_files_of(service)
        if (compose.root / path).is_file()
        for line in (compose.root / path).read_text().splitlines()
        if "=" in line and not line.startswith("#")
    ]
    return dict(line.partition("=")[::2] for line in lines)


def _below_secrets(source: str) -> str | None:
    path = PurePosixPath(plain(source))
    try:
        return path.relative_to(SECRETS).as_posix()
    except ValueError:
        return None


def is_there(compose: Compose, source: str) -> bool:
    """Whether a file or folder is in the checkout, or made by `make compose-secrets`."""
    below = _below_secrets(source)
    if below is not None:
        return any(path == below or path.startswith(f"{below}/") for path in compose.secrets)
    return (compose.root / plain(source)).exists()


def mounted(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Source, target; what has no source (a tmpfs, an anonymous volume) is left out."""
    for item in each(service, "volumes"):
        if isinstance(item, dict):
            if source := item.get("source"):
                yield str(source), str(item["target"])
        else:
            source, _, rest = plain(item).partition(":")
            if rest:
                yield source, rest.partition(":")[0]


def dependencies(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Other service, condition; empty without one."""
    given = service.get("depends_on") or {}
    if isinstance(given, list):
        given = {name: {} for name in given}
    for name, rest in given.items():
        yield name, rest.get("condition", "")


def _words(given: Any) -> list[str]:
    return given.split() if isinstance(given, str) else list(given or ())
