"""Programs from Debian's packages, unpacked below `.local/tools`: no root, and nothing outside it is touched."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from localmesh.errors import MeshError
from localmesh.paths import checkout_paths, private_dir

_PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus", "kustomize": "kustomize"}
"""Program -> the package that has it."""
PROGRAMS = tuple(_PACKAGES)
_LATER = "trixie"
"""The release that has what the machine's own lacks."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LISTED = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
_DEBIAN = "Debian|Debian|"
_VERSION = "version"
_APT_SECONDS = 300


def fetch(names: Iterable[str]) -> int:
    """Fetch what is missing of these programs, and say where they are. Returns 0."""
    for name in names:
        found = program(name)
        print(f"{name} is there: {found} {version(found)}".rstrip())
    return 0


def program(name: str, tools: Path | None = None) -> Path:
    """A program by name (`prometheus`, `promtool`, `kustomize`): the one on the PATH, else Debian's, fetched at the
    first call and kept in `tools`, by default this checkout's `.local/tools`.

    Raises MeshError when it is not on the PATH and cannot be fetched.
    """
    if found := shutil.which(name):
        return Path(found)
    tools = tools or checkout_paths().tools
    package = _PACKAGES[name]
    kept = tools / package
    if not kept.exists():
        _fetch(package, private_dir(tools))
    return kept / "usr" / "bin" / name


def version(found: Path) -> str:
    """Debian's version of a program that `program` has found; empty for one of the PATH."""
    kept = found.parent.parent.parent / _VERSION
    return kept.read_text() if kept.exists() else ""


def _fetch(package: str, tools: Path) -> None:
    if shutil.which("apt-get") is None:
        raise _missing(package)
    with tempfile.TemporaryDirectory(prefix=f".{package}-", dir=tools) as folder:
        here = Path(folder)
        for apt in _sources(here):
            if apt.download(package):
                break
        else:
            raise _missing(package)
        [archive] = here.glob(f"{package}_*.deb")
        unpacked = here / "unpacked"
        done = _run(("dpkg-deb", "-x", str(archive), str(unpacked)), here)
        if done.returncode:
            msg = f"{archive.name} cannot be unpacked: {done.stderr.strip()}"
            raise MeshError(msg)
        _, version, _ = archive.name.split("_")
        (unpacked / _VERSION).write_text(version)
        try:
            unpacked.rename(tools / package)
        except OSError:
            # Somebody else was faster.
            if not (tools / package).exists():
                raise


def _sources(folder: Path) -> Iterator["_Apt"]:
    """Where packages may come from: the machine's own release of Debian or Ubuntu, then a later one of Debian, from the
    same server.
    """
    own = _Apt(folder, ())
    own.update()
    yield own
    listed = own.listed()
    uri = next((line.removeprefix(_DEBIAN) for line in listed if line.startswith(_DEBIAN)), None)
    if uri is None or not _KEYRING.exists():
        return
    source = folder / "later.list"
    source.write_text(f"deb [signed-by={_KEYRING}] {uri} {_LATER} main\n")
    later = _Apt(folder, (f"Dir::Etc::sourcelist={source}", "Dir::Etc::sourceparts=/dev/null"))
    later.update()
    yield later


@dataclass(frozen=True)
class _Apt:
    """`apt-get` with lists and caches of its own."""

    folder: Path
    options: tuple[str, ...]

    def update(self) -> None:
        """Read anew what there is. A server that is away shows when something is fetched."""
        for name in ("lists", "cache/archives"):
            (self.folder / name / "partial").mkdir(parents=True, exist_ok=True)
        self._get("update")

    def download(self, package: str) -> bool:
        """Fetch the package's file into the folder. Returns whether that worked."""
        return self._get("download", package).returncode == 0

    def listed(self) -> list[str]:
        """The repositories, as `_LISTED`."""
        return self._get("indextargets", "--format", _LISTED).stdout.splitlines()

    def _get(self, *words: str) -> subprocess.CompletedProcess[str]:
        options = (
            f"Dir::State::lists={self.folder / 'lists'}",
            f"Dir::Cache={self.folder / 'cache'}",
            # As root it would become a user who may not write here.
            *(["APT::Sandbox::User=root"] if os.geteuid() == 0 else []),
            *self.options,
        )
        given = (word for option in options for word in ("-o", option))
        return _run(("apt-get", "-q", *given, *words), self.folder)


def _run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - a list, no shell
            command, cwd=folder, capture_output=True, text=True, timeout=_APT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _missing(package: str) -> MeshError:
    return MeshError(
        f"{package} is not installed, and Debian's package of it cannot be had here: install it, so that it is on the "
        "PATH"
    )
