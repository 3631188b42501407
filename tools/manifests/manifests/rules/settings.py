"""What our processes are given is what they read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from manifests.documents import Finding, Rendered, each
from manifests.pods import Container, Pod, pods_of
from manifests.processes import Process, process_of
from manifests.variables import environment_of, everything_of, host_of, port_of, secrets_of
from recmesh_kit.settings import METRICS_OFF, PREFIX, SECRETS_DIR

LISTENS = ("RECMESH_LISTEN", "RECMESH_METRICS_LISTEN")
"""What says where a process listens."""
_FOLDERS = ("RECMESH_SIGNING_KEYS_DIR",)
_TARGETS = ("RECMESH_AUTH_TARGET", "RECMESH_CATALOG_TARGET")
_LOCAL_PARTS = 2
"""`service` and `service.namespace` are of this cluster; so is what ends in `.svc` or `.svc.cluster.local`."""


def names(rendered: Rendered) -> Iterator[Finding]:
    """A variable `RECMESH_…`, and a file of secrets, is a setting of the process."""
    for pod, container, process in _ours(rendered):
        given = environment_of(rendered, pod, container)
        for name in sorted(given):
            if name.startswith(PREFIX) and name not in process.variables:
                yield Finding(container.where, f"{name} is no setting of {_said(process)}")
        for name in sorted(secrets_of(rendered, pod, container) or {}):
            if name not in process.variables:
                yield Finding(
                    container.where, f"{SECRETS_DIR}: {name} is no setting of {_said(process)}"
                )
        if given.get(SECRETS_DIR) and secrets_of(rendered, pod, container) is None:
            yield Finding(
                container.where, f"{SECRETS_DIR}: nothing is mounted at {given[SECRETS_DIR]}"
            )


def values(rendered: Rendered) -> Iterator[Finding]:
    """The process would start with what it is given: nothing is missing, nothing is wrong."""
    for pod, container, process in _ours(rendered):
        for problem in process.problems(everything_of(rendered, pod, container)):
            yield Finding(container.where, problem)


def secrets(rendered: Rendered) -> Iterator[Finding]:
    """Secrets come by files: a variable can be seen by whoever sees the pod."""
    for _, container, _ in _ours(rendered):
        for variable in each(container.spec, "env"):
            if "secretKeyRef" in (variable.get("valueFrom") or {}):
                yield Finding(
                    container.where,
                    f"{variable['name']}: a secret comes by a file, not by a variable",
                )
        for source in each(container.spec, "envFrom"):
            if "secretRef" in source:
                yield Finding(
                    container.where,
                    f"{source['secretRef']['name']}: secrets come by files, not by variables",
                )


def folders(rendered: Rendered) -> Iterator[Finding]:
    """A folder that a setting names is mounted where the process serves."""
    for pod, container, process in _ours(rendered):
        given = environment_of(rendered, pod, container) if process.serves else {}
        for name in _FOLDERS:
            if name in given and not _is_mounted(container, given[name]):
                yield Finding(container.where, f"{name}: nothing is mounted at {given[name]}")


def listens(rendered: Rendered) -> Iterator[Finding]:
    """A process listens on just the ports that its container has."""
    for pod, container, process in _ours(rendered):
        if not process.serves:
            continue
        given = everything_of(rendered, pod, container)
        heard = {
            port_of(given[name]) for name in LISTENS if given.get(name, METRICS_OFF) != METRICS_OFF
        }
        declared = {port["containerPort"] for port in container.ports}
        for port in sorted(heard - declared - {None}, key=str):
            yield Finding(
                container.where, f"it listens on {port}, which is no port of the container"
            )
        for port in sorted(declared - heard):
            yield Finding(
                container.where,
                f"port {port}: the process does not listen on it ({', '.join(LISTENS)})",
            )


def targets(rendered: Rendered) -> Iterator[Finding]:
    """Where a process calls another, a Service has that port."""
    for pod, container, _ in _ours(rendered):
        given = environment_of(rendered, pod, container)
        for name in _TARGETS:
            if name not in given:
                continue
            service, _, rest = host_of(given[name]).partition(".")
            namespace = rest.partition(".")[0] or pod.namespace
            if rest.count(".") >= _LOCAL_PARTS and ".svc" not in rest:
                continue
            found = rendered.find("Service", namespace, service)
            ports = [port["port"] for port in each(found, "spec", "ports")]
            if found is None:
                yield Finding(
                    container.where, f"{name}: there is no Service {service} in {namespace}"
                )
            elif port_of(given[name]) not in ports:
                yield Finding(
                    container.where,
                    f"{name}: the Service {service} has no port {port_of(given[name])}",
                )


def _ours(rendered: Rendered) -> Iterator[tuple[Pod, Container, Process]]:
    for pod in pods_of(rendered):
        for container in pod.containers:
            process = process_of(container.spec)
            if process is not None:
                yield pod, container, process


def _said(process: Process) -> str:
    return process.settings.__name__


def _is_mounted(container: Container, folder: str) -> bool:
    path = PurePosixPath(folder)
    return any(path.is_relative_to(mounted) for mounted in container.mounts)
