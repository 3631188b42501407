"""Who may talk to whom, as network policies say.

After https://kubernetes.io/docs/concepts/services-networking/network-policies/: a pod that some policy selects for a
direction is isolated in it, and may do what any of these policies allows. Both ends have to allow a connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from manifests.documents import Document, Rendered, dig, each, namespace_of
from manifests.labels import matches
from manifests.pods import Pod

INGRESS, EGRESS = "Ingress", "Egress"
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_TCP = "TCP"


def may_call(rendered: Rendered, caller: Pod, called: Pod, port: int) -> list[str]:
    """The directions in which a TCP connection to a container port is not allowed; empty when it is."""
    return [
        direction
        for direction, subject, peer in ((EGRESS, caller, called), (INGRESS, called, caller))
        if (policies := isolating(rendered, subject, direction))
        and not any(
            _has_peer(rule, direction, peer) and _has_port(rule, called, port)
            for policy in policies
            for rule in rules_of(policy, direction)
        )
    ]


def isolating(rendered: Rendered, pod: Pod, direction: str) -> list[Document]:
    """The policies that select a pod for a direction; without any it may do all."""
    return [
        policy
        for policy in rendered.of("NetworkPolicy")
        if namespace_of(policy) == pod.namespace
        and direction in _types(policy)
        and matches(dig(policy, "spec", "podSelector"), pod.labels)
    ]


def rules_of(policy: Document, direction: str) -> Iterator[Mapping[str, Any]]:
    """The rules of a policy for a direction."""
    return iter(each(policy, "spec", direction.lower()))


def is_own(peer: Mapping[str, Any], namespace: str) -> bool:
    """Whether a peer's pods are those of the policy's own namespace."""
    other = peer.get("namespaceSelector")
    return other is None or dig(other, "matchLabels", _NAMESPACE_NAME) == namespace


def _types(policy: Document) -> list[str]:
    given = each(policy, "spec", "policyTypes")
    return given or [INGRESS, *([EGRESS] if each(policy, "spec", "egress") else [])]


def _has_peer(rule: Mapping[str, Any], direction: str, pod: Pod) -> bool:
    peers = each(rule, "from" if direction == INGRESS else "to")
    return not peers or any(
        is_own(peer, pod.namespace)
        and "ipBlock" not in peer
        and matches(peer.get("podSelector", {}), pod.labels)
        for peer in peers
    )


def _has_port(rule: Mapping[str, Any], called: Pod, port: int) -> bool:
    ports = each(rule, "ports")
    names = [
        one.get("name")
        for container in called.containers
        for one in container.ports
        if one["containerPort"] == port
    ]
    return not ports or any(
        one.get("protocol", _TCP) == _TCP
        and (one.get("port") in (None, port, *names) or _is_between(one, port))
        for one in ports
    )


def _is_between(one: Mapping[str, Any], port: int) -> bool:
    first, last = one.get("port"), one.get("endPort")
    return isinstance(first, int) and isinstance(last, int) and first <= port <= last
