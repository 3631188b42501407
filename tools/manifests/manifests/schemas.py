"""The schemas of Kubernetes objects: of several versions those of `kubernetes-validate`, strict (no unknown field), and
for custom resources our own, in `crds/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from kubernetes_validate import utils
from referencing import Registry, Resource

from manifests.documents import Document, Finding, kind_of, title

OLDEST = "1.30"
"""The oldest version that the manifests are for: from it on `preStop.sleep` is on by default."""
NEWEST_COUNT = 3
"""As many of the newest versions are tried: those that get patches upstream."""
PACKAGE_VERSION: str = kubernetes_validate.__version__
_OWN = Path(__file__).with_name("crds")
_DOMAIN = re.compile(r"^([^./]*)(?:\.[^/]*)?/")


def versions() -> list[str]:
    """The versions that documents are checked against, oldest first."""
    known = list(dict.fromkeys(utils.all_versions()))
    oldest = next(version for version in known if utils.major_minor(version) == OLDEST)
    return list(dict.fromkeys((oldest, *known[-NEWEST_COUNT:])))


def check(document: Document) -> Iterator[Finding]:
    """What the schemas of all versions say against a document; of one mistake, all versions that see it."""
    seen: dict[str, list[str]] = {}
    for version in versions():
        for problem in _problems(document, version):
            seen.setdefault(problem, []).append(utils.major_minor(version))
    for problem, by in seen.items():
        yield Finding(title(document), f"{problem} (Kubernetes {', '.join(by)})")


def _problems(document: Document, version: str) -> Iterator[str]:
    validator = _validator(kind_of(document).lower(), str(document.get("apiVersion")), version)
    if validator is None:
        yield f"there is no schema of {document.get('apiVersion')} {kind_of(document)}"
        return
    for error in validator.iter_errors(document):
        closest = best_match([error]) or error
        place = ".".join(str(part) for part in closest.absolute_path)
        yield f"{place}: {closest.message}" if place else closest.message


@cache
def _validator(kind: str, api_version: str, version: str) -> Draft202012Validator | None:
    # The names of the package's files: rbac.authorization.k8s.io/v1 -> rbac-v1.
    name = kind + "-" + _DOMAIN.sub(r"\1-", api_version)
    own = _OWN / f"{name}.yaml"
    if own.exists():
        schema: Any = yaml.safe_load(own.read_text())
    else:
        try:
            schema = _contents(f"{name}.json", version)
        except FileNotFoundError:
            return None
    return Draft202012Validator(schema, registry=_registry(version))


@cache
def _registry(version: str) -> Registry[Any]:
    """The definitions, which all schemas of a version refer to: reading them is what takes time."""
    definitions = Resource.from_contents(_contents("_definitions.json", version))
    registry: Registry[Any] = Registry()
    return definitions @ registry


def _contents(name: str, version: str) -> Any:
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    return utils.schema_contents(f"{folder}/{name}", version)
