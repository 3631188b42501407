"""Network policies let through what the mesh needs."""

from __future__ import annotations

from collections.abc import Iterator

from manifests.calls import calls, scrapes, targets
from manifests.documents import Finding, Rendered, each, title
from manifests.network import EGRESS, isolating, may_call, rules_of
from manifests.pods import Pod, pods_of
from manifests.rules.tokens import mounts_token

_DNS = 53
_API_PORTS = (443, 6443)
"""Of the cluster's API: of its Service, and of the server behind it, which is what policies see."""


def addresses(rendered: Rendered) -> Iterator[Finding]:
    """Where a pod is given `service:port`, the Service has that port."""
    for call in calls(rendered):
        if call.port not in [port["port"] for port in each(call.service, "spec", "ports")]:
            yield Finding(
                call.caller.where, f"calls {title(call.service)} at {call.port}, which it has not"
            )


def services(rendered: Rendered) -> Iterator[Finding]:
    """Who is given the address of a Service may call it."""
    pods = pods_of(rendered)
    for call in calls(rendered):
        for pod, port in targets(pods, call):
            if pod.owner is call.caller.owner:
                continue
            for direction in may_call(rendered, call.caller, pod, port):
                what = f"calls {pod.where} at {port}, and no policy allows it ({direction})"
                yield Finding(call.caller.where, what)


def metrics(rendered: Rendered) -> Iterator[Finding]:
    """Prometheus may ask each pod that has metrics."""
    for prometheus, pod, port in scrapes(rendered):
        if pod.owner is not prometheus.owner:
            for direction in may_call(rendered, prometheus, pod, port):
                what = f"scrapes {pod.where} at {port}, and no policy allows it ({direction})"
                yield Finding(prometheus.where, what)


def names(rendered: Rendered) -> Iterator[Finding]:
    """Who may not call everybody may ask for addresses."""
    for pod in pods_of(rendered):
        if isolating(rendered, pod, EGRESS) and not _may_leave(rendered, pod, (_DNS,)):
            yield Finding(pod.where, "no policy lets it ask for names (port 53)")


def api(rendered: Rendered) -> Iterator[Finding]:
    """Who has a token may use it."""
    for pod in pods_of(rendered):
        isolated = isolating(rendered, pod, EGRESS)
        if isolated and mounts_token(rendered, pod) and not _may_leave(rendered, pod, _API_PORTS):
            yield Finding(pod.where, "has a token, and no policy lets it reach the cluster's API")


def _may_leave(rendered: Rendered, pod: Pod, ports: tuple[int, ...]) -> bool:
    """Whether there is a rule with one of these ports, wherever to."""
    return any(
        port.get("port") in ports
        for policy in isolating(rendered, pod, EGRESS)
        for rule in rules_of(policy, EGRESS)
        for port in each(rule, "ports")
    )
