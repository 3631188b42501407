"""The packages of the checkout, and who needs whom, as their pyproject.toml files say.

By the standard library alone: CI asks before anything is installed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_ROOMS = ("libs", "services", "tools", "sdk", "apps")


@dataclass(frozen=True)
class Package:
    """One of ours."""

    folder: str
    """Relative to the checkout, with slashes."""
    needs: frozenset[str]
    """The names of all that it asks for, ours and others'."""


def packages(root: Path) -> Mapping[str, Package]:
    """Name -> package, of all in the checkout."""
    found = {}
    for room in _ROOMS:
        for file in sorted(root.glob(f"{room}/*/pyproject.toml")):
            project = tomllib.loads(file.read_text())["project"]
            folder = file.parent.relative_to(root).as_posix()
            found[_normal(project["name"])] = Package(folder, frozenset(_needs(project)))
    return found


def services(root: Path) -> list[str]:
    """The names of what is shipped as an image."""
    return sorted(file.parent.name for file in root.glob("services/*/pyproject.toml"))


def folders_of(service: str, known: Mapping[str, Package]) -> set[str]:
    """The folders of a service and of all our packages that it stands on."""
    [start] = [name for name, package in known.items() if package.folder == f"services/{service}"]
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in known and name not in reached:
            reached.add(name)
            waiting.extend(known[name].needs)
    return {known[name].folder for name in reached}


def _needs(project: Mapping[str, Any]) -> Iterator[str]:
    # A package of ours may be asked for with an extra: recmesh-kit[mask].
    for requirement in project.get("dependencies", ()):
        if found := _NAME.match(requirement):
            yield _normal(found[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
