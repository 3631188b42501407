"""Rules of the workflows of CI, GitHub's and GitLab's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from manifests.documents import Finding, each

GITHUB = ".github/workflows"
GITLAB = ".gitlab-ci.yml"
NEEDED = ("check", "test", "k8s-render", "images", "changed", "deploy")
"""What either has to do, by the names of make's targets."""
_SCHEMA_SECONDS = 60
_PINNED = re.compile(r"@(v\d+\.\d+\.\d+|[0-9a-f]{40})$")
_TARGET = re.compile(r"^([a-z0-9][a-z0-9-]*):(?!=)", re.MULTILINE)
_EXPRESSION = re.compile(r"\$\{\{.*?\}\}")
_WORD = r"""(?:[^\s;|&()<>"']|"[^"]*"|'[^']*')+"""
_MAKE = re.compile(rf"\bmake((?:[ \t]+{_WORD})+)")
_SECRET = re.compile(
    r"(password|passwd|token|secret|api_?key)\w*['\"]?\s*[:=]\s*['\"]?([^\s'\"},]+)", re.IGNORECASE
)
_COMMENT = re.compile(r"^ *#.*$", re.MULTILINE)
_PLACES = ("$", "read", "write", "none")


def schema(path: Path, *options: str) -> Iterator[Finding]:
    """What check-jsonschema says of a file by one of the schemas that it brings along; nothing is fetched."""
    done = subprocess.run(  # noqa: S603 - a list, no shell
        (sys.executable, "-m", "check_jsonschema", "--color=never", *options, str(path)),
        capture_output=True,
        text=True,
        timeout=_SCHEMA_SECONDS,
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if "::" in line]
        for line in lines or [done.stdout.strip() or done.stderr.strip()]:
            yield Finding(path.name, line.rpartition("::")[2])


def github(name: str, text: str, makefile: str) -> Iterator[Finding]:
    """The rules of one of GitHub's workflows. A make target is one of the Makefile's text."""
    content = yaml.safe_load(text)
    if content.get("permissions") != {"contents": "read"}:
        what = "permissions of all jobs: contents: read, and more for a job that needs it"
        yield Finding(name, what)
    if "concurrency" not in content:
        yield Finding(name, "concurrency is missing: runs of one branch would meet")
    for key, job in content["jobs"].items():
        if "timeout-minutes" not in job:
            yield Finding(name, f"job {key} has no timeout-minutes")
        for step in each(job, "steps"):
            uses = step.get("uses", "")
            if uses and not _PINNED.search(uses):
                yield Finding(name, f"job {key}: {uses} is not pinned to a version or commit")
    yield from _common(name, text, _runs_github(content), makefile)


def gitlab(name: str, text: str, makefile: str) -> Iterator[Finding]:
    """The rules of GitLab's file."""
    content = yaml.safe_load(text)
    for key, job in _jobs_gitlab(content):
        if "timeout" not in {**content.get("default", {}), **job}:
            yield Finding(name, f"job {key} has no timeout")
    yield from _common(name, text, _runs_gitlab(content), makefile)


def targets(text: str) -> list[str]:
    """The targets that the calls of make in a script name, in order."""
    found: list[str] = []
    for call in _MAKE.finditer(_EXPRESSION.sub("$", text)):
        words = re.findall(_WORD, call[1])
        found += [word for word in words if not word.startswith(("-", "$")) and "=" not in word]
    return found


def missing(called: Iterable[str]) -> list[str]:
    """What of NEEDED nobody calls."""
    known = set(called)
    return [target for target in NEEDED if target not in known]


def check(root: Path) -> Iterator[Finding]:
    """What is wrong with the workflows of a checkout."""
    makefile = (root / "Makefile").read_text()
    called: list[str] = []
    for path in sorted((root / GITHUB).glob("*.yml")):
        yield from schema(path, "--builtin-schema=vendor.github-workflows")
        yield from github(path.name, path.read_text(), makefile)
        called += targets("\n".join(_runs_github(yaml.safe_load(path.read_text()))))
    for target in missing(called):
        yield Finding(GITHUB, f"no workflow calls make {target}")
    path = root / GITLAB
    yield from schema(path, "--builtin-schema=vendor.gitlab-ci", "--data-transform=gitlab-ci")
    yield from gitlab(path.name, path.read_text(), makefile)
    for target in missing(targets("\n".join(_runs_gitlab(yaml.safe_load(path.read_text()))))):
        yield Finding(GITLAB, f"no job calls make {target}")


def _common(name: str, text: str, scripts: Sequence[str], makefile: str) -> Iterator[Finding]:
    known = set(_TARGET.findall(makefile))
    for target in targets("\n".join(scripts)):
        if target not in known:
            yield Finding(name, f"make {target}: the Makefile has no such target")
    for found in _SECRET.finditer(_COMMENT.sub("", text)):
        if not found[2].startswith(_PLACES):
            yield Finding(name, f"{found[0]}: looks like a secret")


def _runs_github(content: Any) -> list[str]:
    return [
        step["run"]
        for job in content["jobs"].values()
        for step in each(job, "steps")
        if "run" in step
    ]


def _jobs_gitlab(content: Any) -> Iterator[tuple[str, Any]]:
    return ((key, job) for key, job in content.items() if isinstance(job, dict) and "script" in job)


def _runs_gitlab(content: Any) -> list[str]:
    return [
        line
        for _, job in _jobs_gitlab(content)
        for part in ("before_script", "script", "after_script")
        for line in _lines(job.get(part))
    ]


def _lines(part: Any) -> list[str]:
    return [part] if isinstance(part, str) else [str(line) for line in part or ()]
