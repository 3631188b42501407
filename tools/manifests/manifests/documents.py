"""The documents of one rendering, and how rules find their way in them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

Document = Mapping[str, Any]
"""A Kubernetes object, as in YAML."""
DEFAULT_NAMESPACE = "default"
CLUSTER_WIDE = frozenset(
    (
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Namespace",
        "PersistentVolume",
        "PriorityClass",
        "StorageClass",
    )
)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong, and where."""

    where: str
    what: str
    elsewhere: bool = field(default=False, compare=False)
    """It is none if it is not found in another combination: what is missing here may be a component's."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def parse(text: str) -> list[Document]:
    """The documents of a YAML stream; empty ones are left out."""
    return [document for document in yaml.load_all(text, Loader=_LOADER) if document]


def dig(document: Any, *path: str | int) -> Any:
    """What stands at the end of a path of keys and positions; None where it breaks off."""
    here = document
    for step in path:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            return None
    return here


def each(document: Any, *path: str | int) -> list[Any]:
    """The list at the end of a path; empty when there is none."""
    return dig(document, *path) or []


def kind_of(document: Document) -> str:
    """Its kind."""
    return str(document.get("kind", ""))


def name_of(document: Document) -> str:
    """Its name."""
    return str(dig(document, "metadata", "name") or "")


def namespace_of(document: Document) -> str:
    """Its namespace; empty for what has none."""
    if kind_of(document) in CLUSTER_WIDE:
        return ""
    return str(dig(document, "metadata", "namespace") or DEFAULT_NAMESPACE)


def title(document: Document) -> str:
    """How a person would name it: `Deployment auth`."""
    return f"{kind_of(document)} {name_of(document)}"


def values_of(document: Document) -> dict[str, str]:
    """The entries of a ConfigMap or Secret, decoded; bytes that are no text count as empty."""
    plain = {**(document.get("data") or {}), **(document.get("stringData") or {})}
    if kind_of(document) == "Secret":
        plain = {key: _decoded(value) for key, value in (document.get("data") or {}).items()}
        plain |= document.get("stringData") or {}
    else:
        plain |= dict.fromkeys(document.get("binaryData") or {}, "")
    return {str(key): str(value) for key, value in plain.items()}


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except UnicodeDecodeError:
        return ""


class Rendered:
    """All documents of one combination."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self.documents: Sequence[Document] = tuple(documents)
        self._known = {(kind_of(d), namespace_of(d), name_of(d)): d for d in self.documents}

    def of(self, *kinds: str) -> Iterator[Document]:
        """Those of some kinds, in order."""
        return (document for document in self.documents if kind_of(document) in kinds)

    def find(self, kind: str, namespace: str, name: str) -> Document | None:
        """One by its name."""
        return self._known.get((kind, namespace, name))
