"""Every selector selects something that exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
)
from manifests.labels import is_part, matches
from manifests.network import is_own
from manifests.pods import Pod, pods_of
from manifests.processes import process_of

_HOST = "kubernetes.io/hostname"


def services(rendered: Rendered) -> Iterator[Finding]:
    """A Service selects pods that last; one without a selector has endpoints or a name outside."""
    pods = [pod for pod in pods_of(rendered) if pod.lasting]
    for service in rendered.of("Service"):
        if dig(service, "spec", "type") == "ExternalName":
            continue
        selector = dig(service, "spec", "selector")
        if not selector:
            if not _has_endpoints(rendered, namespace_of(service), name_of(service)):
                yield Finding(title(service), "has neither a selector nor endpoints")
        elif not _taken(pods, namespace_of(service), {"matchLabels": selector}):
            yield Finding(title(service), f"its selector {_said(selector)} selects no pod")


def workloads(rendered: Rendered) -> Iterator[Finding]:
    """A workload's selector takes its own pods, and no other workload's."""
    pods = pods_of(rendered)
    for pod in pods:
        selector = dig(pod.owner, "spec", "selector")
        if selector is None:
            continue
        if not matches(selector, pod.labels):
            yield Finding(pod.where, "its selector does not match the labels of its own pods")
        for other in pods:
            if (
                other is not pod
                and other.namespace == pod.namespace
                and matches(selector, other.labels)
            ):
                yield Finding(pod.where, f"its selector takes the pods of {other.where}, too")


def budgets(rendered: Rendered) -> Iterator[Finding]:
    """A PodDisruptionBudget is for the pods of one workload."""
    pods = [pod for pod in pods_of(rendered) if pod.lasting]
    for budget in rendered.of("PodDisruptionBudget"):
        taken = _taken(pods, namespace_of(budget), dig(budget, "spec", "selector"))
        if len(taken) != 1:
            names = ", ".join(pod.where for pod in taken) or "none"
            yield Finding(title(budget), f"has to select the pods of one workload: {names}")


def unbudgeted(rendered: Rendered) -> Iterator[Finding]:
    """Each Deployment of ours has a PodDisruptionBudget."""
    for pod in pods_of(rendered):
        if kind_of(pod.owner) == "Deployment" and _is_ours(pod):
            budgets_ = (
                budget
                for budget in rendered.of("PodDisruptionBudget")
                if _taken([pod], namespace_of(budget), dig(budget, "spec", "selector"))
            )
            if next(budgets_, None) is None:
                yield Finding(pod.where, "no PodDisruptionBudget selects its pods")


def unspread(rendered: Rendered) -> Iterator[Finding]:
    """The pods of a Deployment of ours are spread over nodes."""
    for pod in pods_of(rendered):
        if kind_of(pod.owner) == "Deployment" and _is_ours(pod):
            keys = [one["topologyKey"] for one in each(pod.spec, "topologySpreadConstraints")]
            if _HOST not in keys:
                yield Finding(pod.where, f"is not spread over {_HOST}")


def policies(rendered: Rendered) -> Iterator[Finding]:
    """A NetworkPolicy and its peers in the same namespace select pods: of this combination or of another."""
    pods = pods_of(rendered)
    for policy in rendered.of("NetworkPolicy"):
        namespace = namespace_of(policy)
        subject = dig(policy, "spec", "podSelector")
        if not _taken(pods, namespace, subject):
            yield Finding(title(policy), f"podSelector {_said(subject)} selects no pod", True)
        for peer in _peers(policy):
            selector = peer.get("podSelector")
            if selector and is_own(peer, namespace) and not _taken(pods, namespace, selector):
                yield Finding(title(policy), f"the peer {_said(selector)} selects no pod", True)


def spreads(rendered: Rendered) -> Iterator[Finding]:
    """A topology spread counts the very pods that it spreads."""
    for pod in pods_of(rendered):
        for spread in each(pod.spec, "topologySpreadConstraints"):
            if not matches(spread.get("labelSelector"), pod.labels):
                key = spread.get("topologyKey")
                yield Finding(pod.where, f"its spread over {key} does not select its own pods")


def affinities(rendered: Rendered) -> Iterator[Finding]:
    """A pod is near to, or far from, pods that exist."""
    pods = pods_of(rendered)
    for pod in pods:
        for field in ("podAffinity", "podAntiAffinity"):
            rules = dig(pod.spec, "affinity", field) or {}
            terms = [
                *each(rules, "requiredDuringSchedulingIgnoredDuringExecution"),
                *(
                    term["podAffinityTerm"]
                    for term in each(rules, "preferredDuringSchedulingIgnoredDuringExecution")
                ),
            ]
            for term in terms:
                if term.get("namespaces") or term.get("namespaceSelector") is not None:
                    continue
                if not _taken(pods, pod.namespace, term.get("labelSelector")):
                    selector = _said(term.get("labelSelector"))
                    yield Finding(pod.where, f"{field} {selector} selects no pod")


def _peers(policy: Any) -> Iterator[Mapping[str, Any]]:
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in each(policy, "spec", direction):
            yield from each(rule, side)


def _is_ours(pod: Pod) -> bool:
    return any(process_of(container.spec) for container in pod.containers)


def _taken(pods: list[Pod], namespace: str, selector: Mapping[str, Any] | None) -> list[Pod]:
    return [pod for pod in pods if pod.namespace == namespace and matches(selector, pod.labels)]


def _has_endpoints(rendered: Rendered, namespace: str, name: str) -> bool:
    return rendered.find("Endpoints", namespace, name) is not None or any(
        namespace_of(endpoints) == namespace
        and is_part(
            {"kubernetes.io/service-name": name}, dig(endpoints, "metadata", "labels") or {}
        )
        for endpoints in rendered.of("EndpointSlice")
    )


def _said(selector: Any) -> str:
    if not selector:
        return "{}" if selector is not None else "(none)"
    labels = selector.get("matchLabels", selector) if isinstance(selector, dict) else selector
    return ", ".join(f"{key}={value}" for key, value in labels.items() if isinstance(value, str))
