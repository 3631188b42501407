"""Every object that is named exists, and has the keys that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from manifests.documents import (
    Finding,
    Rendered,
    dig,
    each,
    kind_of,
    name_of,
    namespace_of,
    title,
    values_of,
)
from manifests.pods import Container, Pod, pods_of

_SYSTEM = "kube-system"
_DEFAULT_ACCOUNT = "default"
_SERVED = frozenset(("view", "edit", "admin", "cluster-admin"))
_HTTPS = 443


@dataclass(frozen=True)
class _Named:
    """A Secret or ConfigMap that a pod needs."""

    where: str
    kind: str
    name: str
    keys: tuple[str, ...] = ()


def configuration(rendered: Rendered) -> Iterator[Finding]:
    """Secrets and ConfigMaps of volumes, variables and image pulls, and their keys."""
    for pod in pods_of(rendered):
        for named in _named(pod):
            document = rendered.find(named.kind, pod.namespace, named.name)
            if document is None:
                yield Finding(named.where, f"there is no {named.kind} {named.name}")
                continue
            known = values_of(document)
            for key in named.keys:
                if key not in known:
                    yield Finding(named.where, f"{named.kind} {named.name} has no key {key}")


def unused(rendered: Rendered) -> Iterator[Finding]:
    """Each Secret and ConfigMap is used: by a pod of this combination or of another."""
    used = {
        (named.kind, pod.namespace, named.name)
        for pod in pods_of(rendered)
        for named in _named(pod)
    }
    for document in rendered.of("Secret", "ConfigMap"):
        if (kind_of(document), namespace_of(document), name_of(document)) not in used:
            yield Finding(title(document), "is used by nobody", True)


def subpaths(rendered: Rendered) -> Iterator[Finding]:
    """A subPath of a Secret's or ConfigMap's volume is one of its files."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            for path, mount in container.mounts.items():
                volume, sub = pod.volumes.get(mount.get("name", "")), mount.get("subPath")
                if not sub or volume is None:
                    continue
                files = files_of(rendered, pod, volume)
                if files is not None and sub.partition("/")[0] not in files:
                    yield Finding(container.where, f"{path}: the volume has no file {sub}")


def files_of(rendered: Rendered, pod: Pod, volume: Mapping[str, Any]) -> dict[str, str] | None:
    """File -> content of a Secret's or ConfigMap's volume, projected ones among them; None for another volume."""
    sources = each(volume, "projected", "sources") or [volume]
    found: dict[str, str] = {}
    for source in sources:
        for named in _sources(pod.where, source):
            document = rendered.find(named.kind, pod.namespace, named.name)
            values = values_of(document) if document is not None else {}
            part = source.get("secret") or source.get("configMap") or {}
            items = {item["key"]: item["path"] for item in part.get("items") or ()}
            found |= {path: values.get(key, "") for key, path in items.items()} if items else values
    kinds = ("secret", "configMap", "projected")
    return found if any(kind in volume for kind in kinds) else None


def accounts(rendered: Rendered) -> Iterator[Finding]:
    """A pod's ServiceAccount is there."""
    for pod in pods_of(rendered):
        name = pod.spec.get("serviceAccountName") or _DEFAULT_ACCOUNT
        if name != _DEFAULT_ACCOUNT and not rendered.find("ServiceAccount", pod.namespace, name):
            yield Finding(pod.where, f"there is no ServiceAccount {name}")


def claims(rendered: Rendered) -> Iterator[Finding]:
    """A volume's claim is there; a StatefulSet's Service, too."""
    for pod in pods_of(rendered):
        for volume in each(pod.spec, "volumes"):
            name = dig(volume, "persistentVolumeClaim", "claimName")
            if name and not rendered.find("PersistentVolumeClaim", pod.namespace, name):
                yield Finding(pod.where, f"there is no PersistentVolumeClaim {name}")
        service = dig(pod.owner, "spec", "serviceName")
        if service and not rendered.find("Service", pod.namespace, service):
            yield Finding(pod.where, f"there is no Service {service}")


def api_services(rendered: Rendered) -> Iterator[Finding]:
    """An APIService is served by a Service that is there, at one of its ports."""
    for document in rendered.of("APIService"):
        wanted = dig(document, "spec", "service")
        if not wanted:
            continue
        service = rendered.find("Service", wanted["namespace"], wanted["name"])
        if service is None:
            what = f"there is no Service {wanted['namespace']}/{wanted['name']}"
            yield Finding(title(document), what)
        elif (port := wanted.get("port", _HTTPS)) not in _ports(service):
            yield Finding(title(document), f"{title(service)} has no port {port}")


def rights(rendered: Rendered) -> Iterator[Finding]:
    """The role and the accounts of a binding are there, or the cluster's own."""
    for binding in rendered.of("RoleBinding", "ClusterRoleBinding"):
        role = binding["roleRef"]
        namespace = namespace_of(binding) if role["kind"] == "Role" else ""
        own = role["name"].startswith("system:") or role["name"] in _SERVED or namespace == _SYSTEM
        if not own and not rendered.find(role["kind"], namespace, role["name"]):
            yield Finding(title(binding), f"there is no {role['kind']} {role['name']}")
        for subject in each(binding, "subjects"):
            if subject["kind"] != "ServiceAccount" or subject.get("namespace") == _SYSTEM:
                continue
            where = subject.get("namespace", "")
            if not rendered.find("ServiceAccount", where, subject["name"]):
                what = f"there is no ServiceAccount {subject['name']} in namespace {where!r}"
                yield Finding(title(binding), what)


def namespaces(rendered: Rendered) -> Iterator[Finding]:
    """Nothing is put into the default namespace by an oversight, and no object stands there twice."""
    seen: set[tuple[str, str, str]] = set()
    for document in rendered.documents:
        key = (kind_of(document), namespace_of(document), name_of(document))
        if key in seen:
            yield Finding(title(document), "is there twice")
        seen.add(key)
        if key[1] == "default":
            yield Finding(title(document), "names no namespace")


def _ports(service: Any) -> list[int]:
    return [port["port"] for port in each(service, "spec", "ports")]


def _named(pod: Pod) -> Iterator[_Named]:
    for volume in each(pod.spec, "volumes"):
        for source in [volume, *each(volume, "projected", "sources")]:
            yield from _sources(f"{pod.where}, volume {volume['name']}", source)
    for pull in each(pod.spec, "imagePullSecrets"):
        yield _Named(pod.where, "Secret", pull["name"])
    for container in pod.containers:
        yield from _variables(container)


def _sources(where: str, source: Mapping[str, Any]) -> Iterator[_Named]:
    for field, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        part = source.get(field)
        if part and not part.get("optional"):
            keys = tuple(item["key"] for item in part.get("items") or ())
            yield _Named(where, kind, part.get("secretName") or part.get("name"), keys)


def _variables(container: Container) -> Iterator[_Named]:
    for source in each(container.spec, "envFrom"):
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            part = source.get(field)
            if part and not part.get("optional"):
                yield _Named(container.where, kind, part["name"])
    for variable in each(container.spec, "env"):
        for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            part = dig(variable, "valueFrom", field)
            if part and not part.get("optional"):
                yield _Named(container.where, kind, part["name"], (part["key"],))
