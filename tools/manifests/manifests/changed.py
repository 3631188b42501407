"""`python -m manifests.changed BASE [HEAD]`: the services whose image a change touches, on a line."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from manifests.errors import ManifestError
from manifests.tree import folders_of, packages, services

_PINS = "constraints.txt"
_DOCKERFILES = {"service.Dockerfile": False, "worker.Dockerfile": True}
"""File in deploy/docker -> whether it is the worker's."""
_WORKER = "worker"
_NOTHING = "0" * 40
"""What a forge calls the commit before the first of a branch."""


def touched(root: Path, paths: Iterable[str]) -> list[str]:
    """The services whose image a change of these files touches. `paths` are relative to the checkout, with slashes."""
    known = packages(root)
    names = services(root)
    folders = {service: folders_of(service, known) for service in names}
    found = {
        service
        for path in map(PurePosixPath, paths)
        if not _is_beside(path)
        for service in names
        if _touches(path, service, folders[service])
    }
    return sorted(found)


def changed_paths(root: Path, base: str, head: str) -> list[str]:
    """The files that differ between the commit at which `base` and `head` parted, and `head`.

    Raises ManifestError when there is no such commit.
    """
    done = subprocess.run(  # noqa: S603 - a list, no shell
        ("git", "diff", "--name-only", "--no-renames", "-z", f"{base}...{head}", "--"),  # noqa: S607
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ManifestError(f"git diff {base}...{head}: {done.stderr.strip()}")
    return [path for path in done.stdout.split("\0") if path]


def main(argv: list[str]) -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m manifests.changed")
    parser.add_argument("base", help="the commit before the change; forty zeros: nothing was there")
    parser.add_argument("head", nargs="?", default="HEAD", help="the commit after it")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout")
    arguments = parser.parse_args(argv)
    root: Path = arguments.root
    try:
        if arguments.base == _NOTHING:
            print(*services(root))
        else:
            print(*touched(root, changed_paths(root, arguments.base, arguments.head)))
    except ManifestError as error:
        print(f"manifests: {error}", file=sys.stderr)
        return 1
    return 0


def _is_beside(path: PurePosixPath) -> bool:
    """Whether nothing that runs is made of it: texts and tests."""
    return path.suffix == ".md" or "tests" in path.parts or path.name == "conftest.py"


def _touches(path: PurePosixPath, service: str, folders: Iterable[str]) -> bool:
    match path.parts:
        case (str(name),) if name == _PINS:
            return True
        case ("deploy", "docker", name):
            of_worker = _DOCKERFILES.get(name.removesuffix(".dockerignore"))
            return of_worker is None or of_worker == (service == _WORKER)
    return any(path.is_relative_to(folder) for folder in folders)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
