"""A backup as a file: a zip archive of one dump, the keys that go with it, and what is to be found in it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from localmesh.errors import MeshError
from localmesh.paths import private_dir

VERSION = 1
"""Of the archive's layout."""
DUMP = "database.dump"
_MANIFEST = "manifest.json"
_SECRETS = "secrets/"
_KEPT = ("admin_password", "*_key", "signing/*.pem")
"""What rows or callers know of: the admin's password, the services' API keys, the keys that sign tokens. The passwords
of servers are each machine's own."""
_SECRET = re.compile(r"secrets/(signing/[\w-]+\.pem|admin_password|[a-z]+_key)")


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes:
        time: When it was made, ISO 8601, UTC.
        server: PostgreSQL's version.
        revisions: The latest migration of each schema.
        rows: Rows of each table, partitions by themselves.
        version: Of the layout.
    """

    time: str
    server: str
    revisions: Mapping[str, str]
    rows: Mapping[str, int]
    version: int = VERSION


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path`, for this user alone, whose file becomes `path` when the block ends well. It is on the disk
    by then; otherwise nothing is left of it.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.touch(mode=0o600, exist_ok=False)
    try:
        yield new
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def keep_secrets(archive: zipfile.ZipFile, secrets: Path) -> None:
    """Puts the keys into an archive."""
    for pattern in _KEPT:
        for path in sorted(secrets.glob(pattern)):
            archive.write(path, _SECRETS + str(path.relative_to(secrets)))


def keep_manifest(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Puts in what is to be found in an archive."""
    archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """A backup, and what is to be found in it.

    Raises:
        MeshError: It is none, it is damaged, or a newer version has made it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        msg = f"there is no file {path}"
        raise MeshError(msg) from None
    except (zipfile.BadZipFile, OSError) as error:
        msg = f"{path} cannot be read as a backup: {error}"
        raise MeshError(msg) from error
    with archive:
        try:
            yield archive, _manifest(archive, path)
        except zipfile.BadZipFile as error:
            msg = f"{path} is damaged: {error}"
            raise MeshError(msg) from error


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    try:
        fields = json.loads(archive.read(_MANIFEST))
        newer = fields["version"] > VERSION
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no backup: it has no readable {_MANIFEST}"
        raise MeshError(msg) from error
    if newer:
        msg = f"{path} was made by a newer version of this program: restore it with that"
        raise MeshError(msg)
    try:
        manifest = Manifest(**fields)
        archive.getinfo(DUMP)
    except (KeyError, TypeError) as error:
        msg = f"{path} is no whole backup: {error}"
        raise MeshError(msg) from error
    return manifest


@contextlib.contextmanager
def dump_of(archive: zipfile.ZipFile) -> Iterator[IO[bytes]]:
    """The dump, to be read from its beginning to its end; its checksum is looked at on the way."""
    with archive.open(DUMP) as dump:
        yield dump


def secrets_of(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """The keys of an archive, by the path below their folder. Raises BadZipFile when one is damaged."""
    names = [name for name in archive.namelist() if _SECRET.fullmatch(name)]
    return {name.removeprefix(_SECRETS): archive.read(name) for name in names}


def restore_secrets(found: Mapping[str, bytes], secrets: Path) -> None:
    """Lays keys into a folder. Signing keys of after the backup go, the other files there stay."""
    signing = private_dir(private_dir(secrets) / "signing")
    for name, content in found.items():
        with written_whole(secrets / name) as new:
            new.write_bytes(content)
    for path in signing.glob("*.pem"):
        if f"signing/{path.name}" not in found:
            path.unlink()
