"""`files`: checks the compose file, the Dockerfiles and the workflows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests import compose, compose_rules, dockerfiles, workflows
from manifests.documents import Finding


def check(root: Path) -> int:
    """Say what was found, and return the exit code."""
    bad = False
    for about, findings in (
        (compose.FILE, list(compose_rules.check(root))),
        ("deploy/docker/*.Dockerfile", list(_dockerfiles(root))),
        (f"{workflows.GITHUB}, {workflows.GITLAB}", list(workflows.check(root))),
    ):
        for finding in dict.fromkeys(findings):
            print(finding)
        print(f"{about}: {f'{len(findings)} findings' if findings else 'ok'}")
        bad = bad or bool(findings)
    return 1 if bad else 0


def _dockerfiles(root: Path) -> Iterator[Finding]:
    for path in sorted((root / "deploy" / "docker").glob("*.Dockerfile")):
        yield from dockerfiles.check(dockerfiles.Dockerfile.read(path))
