"""The pods that workloads make, whatever the workload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from manifests.documents import Document, Rendered, dig, each, kind_of, namespace_of, title

_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Kind -> where its pod is described."""
_LISTS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True)
class Container:
    """A container of a pod."""

    spec: Mapping[str, Any]
    where: str
    """`Deployment auth, container auth`."""
    field: str
    """The list that it stands in."""

    @property
    def ports(self) -> list[Mapping[str, Any]]:
        """What it says that it listens on."""
        return each(self.spec, "ports")

    @property
    def mounts(self) -> dict[str, Mapping[str, Any]]:
        """Path -> its volumeMount."""
        return {mount["mountPath"]: mount for mount in each(self.spec, "volumeMounts")}


@dataclass(frozen=True)
class Pod:
    """A pod as its workload describes it."""

    owner: Document
    template: Document

    @property
    def where(self) -> str:
        """The workload."""
        return title(self.owner)

    @property
    def namespace(self) -> str:
        """The namespace."""
        return namespace_of(self.owner)

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pod's own specification."""
        return dig(self.template, "spec") or {}

    @property
    def labels(self) -> Mapping[str, str]:
        """What selectors see."""
        return dig(self.template, "metadata", "labels") or {}

    @property
    def containers(self) -> list[Container]:
        """All of them: init, main, ephemeral."""
        return [
            Container(spec, f"{self.where}, container {spec.get('name')}", field)
            for field in _LISTS
            for spec in each(self.spec, field)
        ]

    @property
    def volumes(self) -> dict[str, Mapping[str, Any]]:
        """Name -> volume; those of a StatefulSet's claims among them."""
        claims = {
            dig(claim, "metadata", "name"): {
                "name": dig(claim, "metadata", "name"),
                "ephemeral": {"volumeClaimTemplate": claim},
            }
            for claim in each(self.owner, "spec", "volumeClaimTemplates")
        }
        return claims | {volume["name"]: volume for volume in each(self.spec, "volumes")}

    @property
    def lasting(self) -> bool:
        """Whether it is there to stay: none of a Job."""
        return kind_of(self.owner) not in ("Job", "CronJob")


def pods_of(rendered: Rendered) -> list[Pod]:
    """The pods of all workloads, one for each workload."""
    return list(_pods(rendered))


def _pods(rendered: Rendered) -> Iterator[Pod]:
    for document in rendered.documents:
        path = _TEMPLATES.get(kind_of(document))
        if path is not None:
            yield Pod(document, dig(document, *path) or {})
