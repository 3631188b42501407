"""Who calls whom, as far as it can be seen: by the addresses that a pod is given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from manifests.documents import Document, Rendered, dig, each, name_of, namespace_of
from manifests.labels import is_part
from manifests.pods import Container, Pod, pods_of
from manifests.processes import process_of
from manifests.rules.references import files_of
from manifests.variables import environment_of, everything_of

_ADDRESS = re.compile(r"(?<![\w.-])([a-z][a-z0-9-]*):(\d{2,5})(?!\d)")
_DATABASE_URL = "DATABASE_URL"
_METRICS = "metrics"
_PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}


@dataclass(frozen=True)
class Call:
    """A pod is given the address of a Service."""

    caller: Pod
    service: Document
    port: int
    """Of the Service."""


def calls(rendered: Rendered) -> Iterator[Call]:
    """The calls by address within a namespace. A port that the Service has not is among them."""
    services = {(namespace_of(one), name_of(one)): one for one in rendered.of("Service")}
    for pod in pods_of(rendered):
        found = {
            (name, int(port))
            for container in pod.containers
            for text in _texts(rendered, pod, container)
            for name, port in _ADDRESS.findall(text)
        }
        for name, port in sorted(found):
            service = services.get((pod.namespace, name))
            if service is not None and dig(service, "spec", "selector"):
                yield Call(pod, service, port)


def scrapes(rendered: Rendered) -> Iterator[tuple[Pod, Pod, int]]:
    """Who asks whom for metrics, and at which port: Prometheus each pod that has a port of that name."""
    pods = pods_of(rendered)
    for prometheus in pods:
        if not is_part(_PROMETHEUS, prometheus.labels):
            continue
        for pod in pods:
            for container in pod.containers:
                for port in container.ports:
                    if port.get("name") == _METRICS and pod.namespace == prometheus.namespace:
                        yield prometheus, pod, port["containerPort"]


def targets(pods: list[Pod], call: Call) -> Iterator[tuple[Pod, int]]:
    """The pods that a call comes to, with their container ports."""
    for pod in pods:
        selector = dig(call.service, "spec", "selector")
        if pod.namespace != call.caller.namespace or not is_part(selector, pod.labels):
            continue
        for port in each(call.service, "spec", "ports"):
            if port["port"] == call.port and pod.lasting:
                target = port.get("targetPort", port["port"])
                for one in (one for container in pod.containers for one in container.ports):
                    if target in (one.get("name"), one["containerPort"]):
                        yield pod, one["containerPort"]


def _texts(rendered: Rendered, pod: Pod, container: Container) -> Iterator[str]:
    process = process_of(container.spec)
    if process is not None:
        # Of what all are given, each reads its own part; and what does not serve works on the database.
        for name, value in everything_of(rendered, pod, container).items():
            if name in process.variables and (process.serves or name == _DATABASE_URL):
                yield value
        return
    yield from environment_of(rendered, pod, container).values()
    yield from (str(word) for key in ("command", "args") for word in each(container.spec, key))
    for mount in container.mounts.values():
        if (volume := pod.volumes.get(mount["name"])) is not None:
            yield from (files_of(rendered, pod, volume) or {}).values()
