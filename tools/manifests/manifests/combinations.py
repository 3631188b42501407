"""Which overlays and components are put together, and a copy of the tree in which they can be."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import yaml

from localmesh.secret_files import Servers, write_secrets
from manifests.kustomize import FILE

EXCLUSIVE = frozenset(("queue-hpa", "keda"))
"""Of these components one at most: each scales the worker."""
FOR_DEVELOPMENT = frozenset(("postgres", "rabbitmq"))
"""Components for overlays that name them: elsewhere the servers are somebody else's."""
_SECRETS = "secrets"
_KEY = re.compile(rf"\b{_SECRETS}/signing/[\w.-]+\.pem\b")


@dataclass(frozen=True)
class Combination:
    """An overlay with some components."""

    overlay: str
    components: tuple[str, ...]
    as_shipped: bool = False

    def __str__(self) -> str:
        if self.as_shipped:
            return self.overlay
        return f"{self.overlay}: {', '.join(self.components) or 'no component'}"


def copy_of(tree: Path, folder: Path) -> Path:
    """Copy the manifests into a folder, and make the secrets that overlays take from files; those of the checkout stay
    out of it. Returns the copy.
    """
    copy = folder / "k8s"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(_SECRETS))
    for overlay in overlays(copy):
        folder = copy / "overlays" / overlay
        write_secrets(folder / _SECRETS, Servers())
        # Keys come and go; how many there are, and their names, is the overlay's affair.
        for path in _KEY.findall((folder / FILE).read_text()):
            if not (folder / path).exists():
                shutil.copy(next((folder / _SECRETS / "signing").glob("*.pem")), folder / path)
    return copy


def overlays(tree: Path) -> list[str]:
    """The names of all overlays."""
    return _names(tree / "overlays")


def components(tree: Path) -> list[str]:
    """The names of all components."""
    return _names(tree / "components")


def chosen(tree: Path, *, every: bool) -> Iterator[Combination]:
    """Each overlay as it is shipped, without components, with each one alone, and with all that go together; with
    `every`, each set of components that go together.
    """
    for overlay in overlays(tree):
        shipped = _shipped(tree, overlay)
        yield Combination(overlay, tuple(shipped), as_shipped=True)
        known = [
            name for name in components(tree) if name in shipped or name not in FOR_DEVELOPMENT
        ]
        for size in range(len(known) + 1):
            for some in combinations(known, size):
                if together(some) and (every or size <= 1 or _is_full(known, some)):
                    yield Combination(overlay, some)


def together(some: Iterable[str]) -> bool:
    """Whether these components may be in one combination."""
    return len(EXCLUSIVE.intersection(some)) <= 1


def write(tree: Path, combination: Combination, number: int) -> Path:
    """Make the combination's folder in a copy, beside the overlays: what they name stays where it is. Returns it."""
    shipped = tree / "overlays" / combination.overlay
    if combination.as_shipped:
        return shipped
    folder = tree / "overlays" / f"{combination.overlay}-{number}"
    shutil.copytree(shipped, folder)
    content = yaml.safe_load((shipped / FILE).read_text())
    content["components"] = [f"../../components/{name}" for name in combination.components]
    (folder / FILE).write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def _shipped(tree: Path, overlay: str) -> list[str]:
    content = yaml.safe_load((tree / "overlays" / overlay / FILE).read_text())
    return [Path(path).name for path in content.get("components") or ()]


def _is_full(known: list[str], some: tuple[str, ...]) -> bool:
    return all(name in some or not together((*some, name)) for name in known)


def _names(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))
