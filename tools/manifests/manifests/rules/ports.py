"""Every port that something is sent to is one that something listens on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from manifests.documents import Document, Finding, Rendered, dig, each, namespace_of, title
from manifests.labels import matches
from manifests.pods import Container, Pod, pods_of
from manifests.processes import process_of

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HOOKS = ("postStart", "preStop")
_TCP = "TCP"


def services(rendered: Rendered) -> Iterator[Finding]:
    """Each targetPort of a Service is a container port of every pod that it selects."""
    pods = pods_of(rendered)
    for service in rendered.of("Service"):
        selector = dig(service, "spec", "selector")
        if not selector:
            continue
        for pod in _selected(pods, service, {"matchLabels": selector}):
            for port in each(service, "spec", "ports"):
                target = port.get("targetPort", port["port"])
                if not _listens(pod, target, port.get("protocol", _TCP)):
                    yield Finding(
                        title(service),
                        f"port {port.get('name', port['port'])}: no container of {pod.where} has the port {target}",
                    )


def probes(rendered: Rendered) -> Iterator[Finding]:
    """Each probe, and each hook that calls, asks a port of its own container."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            for name, action in _actions(container):
                for field in ("httpGet", "tcpSocket", "grpc"):
                    port = dig(action, field, "port")
                    if port is not None and not _has(container.ports, port, _TCP):
                        yield Finding(
                            container.where, f"{name} asks port {port}, which is none of its"
                        )


def unprobed(rendered: Rendered) -> Iterator[Finding]:
    """Who serves is asked whether it is up, ready and alive."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            process = process_of(container.spec)
            if process is not None and process.serves:
                for probe in _PROBES:
                    if probe not in container.spec:
                        yield Finding(container.where, f"has no {probe}")


def subjects(rendered: Rendered) -> Iterator[Finding]:
    """A gRPC probe of ours asks for a subject that the process knows."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            process = process_of(container.spec)
            if process is None:
                continue
            for name, action in _actions(container):
                if (asked := dig(action, "grpc")) is not None:
                    subject = asked.get("service") or ""
                    if subject not in process.subjects:
                        yield Finding(
                            container.where,
                            f"{name} asks for the subject {subject!r}, which is unknown",
                        )


def policies(rendered: Rendered) -> Iterator[Finding]:
    """A NetworkPolicy lets in to, and out to, ports that the pods of this namespace have."""
    pods = pods_of(rendered)
    for policy in rendered.of("NetworkPolicy"):
        subject = _selected(pods, policy, dig(policy, "spec", "podSelector"))
        for rule in each(policy, "spec", "ingress"):
            yield from _closed(policy, "ingress", subject, each(rule, "ports"))
        for rule in each(policy, "spec", "egress"):
            for peer in each(rule, "to"):
                if peer.get("podSelector") and peer.get("namespaceSelector") is None:
                    other = _selected(pods, policy, peer["podSelector"])
                    yield from _closed(policy, "egress", other, each(rule, "ports"))


def _closed(
    policy: Document, direction: str, pods: list[Pod], ports: Iterable[Mapping[str, Any]]
) -> Iterator[Finding]:
    if not pods:
        return  # said by the rule on selectors
    for port in ports:
        wanted, protocol = port.get("port"), port.get("protocol", _TCP)
        if wanted is None or "endPort" in port:
            continue
        if not any(_listens(pod, wanted, protocol) for pod in pods):
            names = ", ".join(pod.where for pod in pods)
            yield Finding(title(policy), f"{direction} port {wanted} is none of {names}", True)


def _actions(container: Container) -> Iterator[tuple[str, Any]]:
    for probe in _PROBES:
        if action := container.spec.get(probe):
            yield probe, action
    for hook in _HOOKS:
        if action := dig(container.spec, "lifecycle", hook):
            yield hook, action


def _selected(pods: list[Pod], document: Document, selector: Mapping[str, Any] | None) -> list[Pod]:
    namespace = namespace_of(document)
    return [
        pod
        for pod in pods
        if pod.lasting and pod.namespace == namespace and matches(selector, pod.labels)
    ]


def _listens(pod: Pod, port: int | str, protocol: str) -> bool:
    return any(_has(container.ports, port, protocol) for container in pod.containers)


def _has(ports: list[Mapping[str, Any]], port: int | str, protocol: str) -> bool:
    key = "name" if isinstance(port, str) else "containerPort"
    return any(one.get(key) == port and one.get("protocol", _TCP) == protocol for one in ports)
