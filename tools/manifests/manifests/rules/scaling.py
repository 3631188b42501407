"""What scales has something to scale, by numbers that exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from manifests.documents import (
    Document,
    Finding,
    Rendered,
    dig,
    each,
    kind_of,
    namespace_of,
    title,
    values_of,
)
from manifests.labels import matches
from manifests.pods import Pod, pods_of
from manifests.variables import host_of, port_of

_SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")


def targets(rendered: Rendered) -> Iterator[Finding]:
    """What an HPA or a ScaledObject scales exists, states no replicas of its own, and is scaled by one alone."""
    for scaler in rendered.of(*_SCALERS):
        target = _target(rendered, scaler)
        if target is None:
            reference = dig(scaler, "spec", "scaleTargetRef") or {}
            yield Finding(title(scaler), f"there is no {_kind(reference)} {reference.get('name')}")
        elif dig(target, "spec", "replicas") is not None:
            yield Finding(title(target), f"states replicas, which {title(scaler)} decides")
    scaled = Counter(
        title(target)
        for scaler in rendered.of(*_SCALERS)
        if (target := _target(rendered, scaler)) is not None
    )
    for name, times in scaled.items():
        if times > 1:
            yield Finding(name, f"is scaled by {times} scalers")


def bounds(rendered: Rendered) -> Iterator[Finding]:
    """The least is not more than the most."""
    for scaler in rendered.of(*_SCALERS):
        least, most = _least(scaler), _most(scaler)
        if least > most:
            yield Finding(title(scaler), f"at least {least} and at most {most} replicas")


def metrics(rendered: Rendered) -> Iterator[Finding]:
    """An External metric is one that the adapter's rules make; a share of a resource is of one that is requested."""
    made = _external_metrics(rendered)
    pods = {title(pod.owner): pod for pod in pods_of(rendered)}
    for hpa in rendered.of("HorizontalPodAutoscaler"):
        target = _target(rendered, hpa)
        for metric in each(hpa, "spec", "metrics"):
            match metric["type"]:
                case "External":
                    name = dig(metric, "external", "metric", "name")
                    if name not in made:
                        known = ", ".join(sorted(made)) or "none"
                        yield Finding(
                            title(hpa),
                            f"no adapter rule makes the metric {name} (they make: {known})",
                        )
                case "Resource" if target is not None:
                    resource = dig(metric, "resource", "name")
                    yield from _unrequested(hpa, pods[title(target)], resource)


def triggers(rendered: Rendered) -> Iterator[Finding]:
    """The Prometheus that a ScaledObject asks is there, and named so that it is found from KEDA's namespace."""
    for scaled in rendered.of("ScaledObject"):
        for trigger in each(scaled, "spec", "triggers"):
            address = dig(trigger, "metadata", "serverAddress")
            if not address:
                continue
            if "." not in host_of(address):
                yield Finding(
                    title(scaled), f"{address} names no namespace, and KEDA asks from its own"
                )
            elif not _serves(rendered, address):
                yield Finding(title(scaled), f"no Service listens at {address}", True)


def budgets(rendered: Rendered) -> Iterator[Finding]:
    """A PodDisruptionBudget lets a node be drained: some pod may go."""
    for budget in rendered.of("PodDisruptionBudget"):
        least, most = (dig(budget, "spec", key) for key in ("minAvailable", "maxUnavailable"))
        for pod in pods_of(rendered):
            selector = dig(budget, "spec", "selector")
            if pod.namespace != namespace_of(budget) or not matches(selector, pod.labels):
                continue
            replicas = max(1, _replicas(rendered, pod))
            if (
                most in (0, "0%")
                or least == "100%"
                or (isinstance(least, int) and least >= replicas)
            ):
                what = f"of {replicas} pods of {pod.where} none may ever be evicted"
                yield Finding(title(budget), what)


def _target(rendered: Rendered, scaler: Document) -> Document | None:
    reference = dig(scaler, "spec", "scaleTargetRef") or {}
    return rendered.find(_kind(reference), namespace_of(scaler), reference.get("name", ""))


def _kind(reference: Any) -> str:
    return str(reference.get("kind", "Deployment"))


def _least(scaler: Document) -> int:
    if kind_of(scaler) == "ScaledObject":
        return int(dig(scaler, "spec", "minReplicaCount") or 0)
    return int(dig(scaler, "spec", "minReplicas") or 1)


def _most(scaler: Document) -> int:
    field = "maxReplicaCount" if kind_of(scaler) == "ScaledObject" else "maxReplicas"
    return int(dig(scaler, "spec", field) or 100)


def _replicas(rendered: Rendered, pod: Pod) -> int:
    for scaler in rendered.of(*_SCALERS):
        if _target(rendered, scaler) is pod.owner:
            return _least(scaler)
    return int(dig(pod.owner, "spec", "replicas") or 1)


def _external_metrics(rendered: Rendered) -> set[str]:
    """The names that prometheus-adapter's `externalRules` give."""
    made = set()
    for document in rendered.of("ConfigMap"):
        for text in values_of(document).values():
            if "externalRules" not in text:
                continue
            for rule in each(yaml.safe_load(text), "externalRules"):
                made.add(str(dig(rule, "name", "as")))
    return made


def _unrequested(hpa: Document, pod: Pod, resource: str) -> Iterator[Finding]:
    for container in pod.containers:
        if container.field == "containers" and not dig(
            container.spec, "resources", "requests", resource
        ):
            yield Finding(
                title(hpa),
                f"{container.where} requests no {resource}, of which it is to use a share",
            )


def _serves(rendered: Rendered, address: str) -> bool:
    name, namespace = host_of(address).split(".")[:2]
    service = rendered.find("Service", namespace, name)
    return service is not None and port_of(address) in [
        port["port"] for port in each(service, "spec", "ports")
    ]
