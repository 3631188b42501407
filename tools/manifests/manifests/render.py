"""`render`: builds every combination, and puts what comes out through the schemas and the rules."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localmesh.debian import version
from manifests import rules, schemas
from manifests.combinations import Combination, chosen, copy_of, write
from manifests.documents import Finding, Rendered
from manifests.errors import ManifestError
from manifests.kustomize import Kustomize

_SHOWN = 2


@dataclass
class Outcome:
    """What became of one combination."""

    combination: Combination
    documents: int = 0
    findings: list[Finding] = field(default_factory=list)


def render(tree: Path, *, every: bool = False) -> int:
    """Say what was found, and return the exit code. `tree` is the folder of base, components and overlays."""
    program = Kustomize.found()
    print(f"kustomize {version(program.path) or program.version()}")
    said = ", ".join(schemas.versions())
    print(f"Kubernetes {said}, strict (kubernetes-validate {schemas.PACKAGE_VERSION})")
    with tempfile.TemporaryDirectory(prefix="recmesh-manifests-") as folder:
        outcomes = _outcomes(program, copy_of(tree, Path(folder)), every=every)
    return report(outcomes)


def report(outcomes: Sequence[Outcome]) -> int:
    """Print findings, each once with all of its combinations, then the table. Returns the exit code."""
    by_finding: dict[Finding, list[str]] = {}
    for outcome in outcomes:
        for finding in outcome.findings:
            by_finding.setdefault(finding, []).append(str(outcome.combination))
    for finding, names in sorted(by_finding.items()):
        print(f"{finding}  [{_few(names, len(outcomes))}]")
    width = max(len(str(outcome.combination)) for outcome in outcomes)
    print(f"\n{'combination':{width}}  documents")
    for outcome in outcomes:
        verdict = f"{len(set(outcome.findings))} findings" if outcome.findings else "ok"
        print(f"{outcome.combination!s:{width}}  {outcome.documents:9}  {verdict}")
    return 1 if by_finding else 0


def settle(outcomes: Sequence[Outcome]) -> None:
    """Take back the findings that another combination of the same overlay makes good."""
    for outcome in outcomes:
        others = [
            set(other.findings)
            for other in outcomes
            if other is not outcome
            and other.combination.overlay == outcome.combination.overlay
            and other.documents
        ]
        outcome.findings = [
            finding
            for finding in outcome.findings
            if not finding.elsewhere or all(finding in findings for findings in others)
        ]


def _outcomes(program: Kustomize, tree: Path, *, every: bool) -> list[Outcome]:
    wanted = list(chosen(tree, every=every))
    folders = [write(tree, combination, number) for number, combination in enumerate(wanted)]
    outcomes = []
    seen: dict[str, list[Finding]] = {}
    for combination, folder in zip(wanted, folders, strict=True):
        outcome = Outcome(combination)
        outcomes.append(outcome)
        try:
            rendered = Rendered(program.build(folder))
        except ManifestError as error:
            outcome.findings.append(Finding(combination.overlay, str(error)))
            continue
        outcome.documents = len(rendered.documents)
        for document in rendered.documents:
            # Most documents are the same in many combinations, and a schema takes its time.
            key = repr(document)
            if key not in seen:
                seen[key] = list(schemas.check(document))
            outcome.findings += seen[key]
        outcome.findings += rules.check(rendered)
    settle(outcomes)
    return outcomes


def _few(names: Sequence[str], total: int) -> str:
    if len(names) == total:
        return "everywhere"
    more = len(names) - _SHOWN
    return "; ".join((*names[:_SHOWN], *([f"{more} more"] if more > 0 else ())))
