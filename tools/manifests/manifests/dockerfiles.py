"""Rules of our Dockerfiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from manifests.documents import Finding
from manifests.processes import SERVICES
from manifests.rules.running import untagged

_NUMERIC = re.compile(r"^[1-9]\d*(:\d+)?$")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_FROM = re.compile(r"^(?:--\S+\s+)*(?P<parent>\S+)(?:\s+AS\s+(?P<name>\S+))?$", re.IGNORECASE)
_SCRATCH = "scratch"


@dataclass(frozen=True)
class Stage:
    """What stands from one FROM to the next."""

    parent: str
    name: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str | None:
        """The argument of the last such instruction; None when there is none."""
        return next((rest for word, rest in reversed(self.lines) if word == instruction), None)


@dataclass(frozen=True)
class Dockerfile:
    """One file."""

    where: str
    arguments: dict[str, str | None]
    """Those before the first FROM, with their defaults."""
    stages: Sequence[Stage]

    @classmethod
    def read(cls, path: Path) -> Dockerfile:
        """Read it. Heredocs are not understood: we have none."""
        arguments: dict[str, str | None] = {}
        stages: list[Stage] = []
        for word, rest in _instructions(path.read_text()):
            if word == "FROM":
                found = _FROM.match(rest)
                assert found is not None, rest
                stages.append(Stage(found["parent"], found["name"] or ""))
            elif stages:
                stages[-1].lines.append((word, rest))
            elif word == "ARG":
                name, given, default = rest.partition("=")
                arguments[name] = default if given else None
        return cls(path.name, arguments, stages)

    def finals(self) -> list[list[Stage]]:
        """The stages, from the last one back to its base, of each image that the file may make: where a parent is an
        argument without a default, one for each service that there is a stage of.
        """
        return list(self._chains(len(self.stages) - 1))

    def _chains(self, number: int) -> Iterator[list[Stage]]:
        stage = self.stages[number]
        found = _VARIABLE.fullmatch(stage.parent)
        open_ = found is not None and self.arguments.get(found[1], "") is None
        # A stage stands on earlier ones alone.
        parents = [
            earlier
            for earlier, other in enumerate(self.stages[:number])
            if (other.name in SERVICES if open_ else other.name == stage.parent)
        ]
        for parent in parents:
            for chain in self._chains(parent):
                yield [stage, *chain]
        if not parents:
            yield [stage]


def check(dockerfile: Dockerfile) -> Iterator[Finding]:
    """What the rules find."""
    for rule in (bases, forms, users, additions):
        for what in rule(dockerfile):
            yield Finding(dockerfile.where, what)


def bases(dockerfile: Dockerfile) -> Iterator[str]:
    """What is built on is said by an argument, whose default has a tag; or is a stage above."""
    known: set[str] = set()
    for stage in dockerfile.stages:
        found = _VARIABLE.match(stage.parent)
        if found is None:
            if stage.parent not in known and stage.parent != _SCRATCH:
                yield f"FROM {stage.parent}: the base image is said by a build argument"
        elif found[1] not in dockerfile.arguments:
            yield f"FROM {stage.parent}: there is no ARG {found[1]} before the first FROM"
        elif (default := dockerfile.arguments[found[1]]) and (problem := untagged(default)):
            yield f"ARG {found[1]}: {problem}"
        known.add(stage.name)


def forms(dockerfile: Dockerfile) -> Iterator[str]:
    """The image has an ENTRYPOINT, and what is started is started without a shell: it is told to stop itself."""
    for stage in dockerfile.stages:
        for word, rest in stage.lines:
            if word in ("ENTRYPOINT", "CMD") and not _is_exec(rest):
                yield f"{word} {rest}: not in exec form"
    for chain in dockerfile.finals():
        if _inherited(chain, "ENTRYPOINT") is None:
            yield f"{chain[0].parent}: the image has no ENTRYPOINT"


def users(dockerfile: Dockerfile) -> Iterator[str]:
    """It runs as a user with a number, not root: without one a cluster cannot know."""
    for chain in dockerfile.finals():
        user = _inherited(chain, "USER")
        if user is None or not _NUMERIC.match(user):
            yield f"USER {user or 'root'}: a number above 0, with or without a group's"


def additions(dockerfile: Dockerfile) -> Iterator[str]:
    """Nothing is fetched past the package index, whose pins say what is got."""
    for stage in dockerfile.stages:
        for word, rest in stage.lines:
            if word == "ADD":
                yield f"ADD {rest}: COPY does, and fetches nothing"


def _inherited(chain: list[Stage], instruction: str) -> str | None:
    return next((found for stage in chain if (found := stage.last(instruction))), None)


def _is_exec(rest: str) -> bool:
    try:
        return isinstance(json.loads(rest), list)
    except ValueError:
        return False


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Word, rest; lines that go on are joined, comments left out."""
    waiting = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        waiting += line.strip()
        if waiting.endswith("\\"):
            waiting = waiting[:-1].rstrip() + " "
            continue
        if waiting:
            word, _, rest = waiting.partition(" ")
            yield word.upper(), rest.strip()
        waiting = ""
