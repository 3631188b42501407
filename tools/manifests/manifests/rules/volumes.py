"""Volumes and mounts fit each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from manifests.documents import Finding, Rendered, dig, each
from manifests.pods import pods_of

_GROUP, _OTHERS = 0o040, 0o004


def mounts(rendered: Rendered) -> Iterator[Finding]:
    """Each mount has its volume, and no path is mounted twice."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            entries = each(container.spec, "volumeMounts")
            devices = each(container.spec, "volumeDevices")
            for entry in (*entries, *devices):
                if entry["name"] not in pod.volumes:
                    yield Finding(container.where, f"there is no volume {entry['name']}")
            for path, times in Counter(entry["mountPath"] for entry in entries).items():
                if times > 1:
                    yield Finding(container.where, f"{path} is mounted {times} times")


def unused(rendered: Rendered) -> Iterator[Finding]:
    """Each volume is mounted by somebody."""
    for pod in pods_of(rendered):
        used = {
            entry["name"]
            for container in pod.containers
            for entry in each(container.spec, "volumeMounts")
            + each(container.spec, "volumeDevices")
        }
        for name in pod.volumes:
            if name not in used:
                yield Finding(pod.where, f"no container mounts the volume {name}")


def readable(rendered: Rendered) -> Iterator[Finding]:
    """Files of Secrets and ConfigMaps belong to root: a mode that gives nothing to others wants the pod's `fsGroup`."""
    for pod in pods_of(rendered):
        group = dig(pod.spec, "securityContext", "fsGroup")
        for name, volume in pod.volumes.items():
            for mode in _modes(volume):
                if not mode & _OTHERS and (group is None or not mode & _GROUP):
                    what = f"no user but root may read the files of {name} (mode {mode:04o})"
                    yield Finding(pod.where, what)


def _modes(volume: Mapping[str, Any]) -> Iterator[int]:
    sources = [volume.get(kind) or {} for kind in ("secret", "configMap", "projected")]
    sources += [
        source.get(kind) or {}
        for source in each(volume, "projected", "sources")
        for kind in ("secret", "configMap")
    ]
    for source in sources:
        given = (
            source.get("defaultMode"),
            *(item.get("mode") for item in source.get("items") or ()),
        )
        yield from (mode for mode in given if mode is not None)
