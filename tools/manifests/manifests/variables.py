"""The environment that a container gets: variables, and the files that stand in for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from manifests.documents import Rendered, each, values_of
from manifests.pods import Container, Pod
from manifests.rules.references import files_of
from recmesh_kit.settings import SECRETS_DIR

_PLACE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_AT_RUN_TIME = "1"
"""What stands for a value that only the cluster knows: a number and a name."""


def environment_of(rendered: Rendered, pod: Pod, container: Container) -> dict[str, str]:
    """Name -> value, as the kubelet would set them."""
    found: dict[str, str] = {}
    for source in each(container.spec, "envFrom"):
        prefix = source.get("prefix", "")
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if part := source.get(field):
                values = _values(rendered, kind, pod.namespace, part["name"])
                found |= {f"{prefix}{key}": value for key, value in values.items()}
    for name, value in _variables(rendered, pod, container):
        found[name] = _PLACE.sub(lambda place: found.get(place[1], place[0]), value)
    return found


def secrets_of(rendered: Rendered, pod: Pod, container: Container) -> dict[str, str] | None:
    """The files of the folder that RECMESH_SECRETS_DIR names; None when nothing is mounted there."""
    folder = environment_of(rendered, pod, container).get(SECRETS_DIR)
    mount = container.mounts.get((folder or "").rstrip("/"))
    volume = pod.volumes.get(mount["name"]) if mount else None
    return files_of(rendered, pod, volume) if volume else None


def everything_of(rendered: Rendered, pod: Pod, container: Container) -> dict[str, str]:
    """What the process reads: variables go before files."""
    read = {
        **(secrets_of(rendered, pod, container) or {}),
        **environment_of(rendered, pod, container),
    }
    read.pop(SECRETS_DIR, None)
    return read


def _variables(rendered: Rendered, pod: Pod, container: Container) -> Iterator[tuple[str, str]]:
    for variable in each(container.spec, "env"):
        value = variable.get("value")
        if value is None and (source := variable.get("valueFrom")):
            value = _from(rendered, pod, source)
        yield variable["name"], str(value or "")


def _from(rendered: Rendered, pod: Pod, source: Mapping[str, Any]) -> str:
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if part := source.get(field):
            return _values(rendered, kind, pod.namespace, part["name"]).get(part["key"], "")
    return _AT_RUN_TIME


def _values(rendered: Rendered, kind: str, namespace: str, name: str) -> dict[str, str]:
    document = rendered.find(kind, namespace, name)
    return values_of(document) if document is not None else {}


def port_of(address: str) -> int | None:
    """The port of `host:port` or `scheme://host:port`; None when there is none."""
    port = address.rstrip("/").rpartition(":")[2]
    return int(port) if port.isdigit() else None


def host_of(address: str) -> str:
    """The host of `host:port` or `scheme://host:port`."""
    return address.rpartition("//")[2].rstrip("/").rpartition(":")[0]
