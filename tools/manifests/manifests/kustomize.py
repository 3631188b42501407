"""Kustomize: builds what a folder describes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from localmesh.debian import program
from manifests.documents import Document, parse
from manifests.errors import ManifestError

FILE = "kustomization.yaml"
_SECONDS = 60


@dataclass(frozen=True)
class Kustomize:
    """One program of that name."""

    path: Path

    @classmethod
    def found(cls) -> Kustomize:
        """The one on the PATH, else Debian's. Raises MeshError when there is none to be had."""
        return cls(program("kustomize"))

    def version(self) -> str:
        """What it says of itself; Debian's does not know."""
        return self._run("version").strip().splitlines()[0]

    def build(self, folder: Path) -> list[Document]:
        """The documents that a folder's kustomization describes.

        Raises ManifestError with what it says against it; a warning is enough.
        """
        return parse(self._run("build", str(folder)))

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            (str(self.path), *arguments),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode or done.stderr:
            raise ManifestError(f"kustomize {arguments[0]}: {done.stderr.strip()}")
        return done.stdout
