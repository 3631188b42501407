"""Only who talks to the cluster's API gets a token for it."""

from __future__ import annotations

from collections.abc import Iterator

from manifests.documents import Finding, Rendered, dig, each
from manifests.pods import Pod, pods_of


def unneeded(rendered: Rendered) -> Iterator[Finding]:
    """A pod whose ServiceAccount is bound to no role mounts no token."""
    bound = _bound(rendered)
    for pod in pods_of(rendered):
        account = _account(pod)
        if mounts_token(rendered, pod) and (pod.namespace, account) not in bound:
            yield Finding(pod.where, f"mounts the token of {account}, to whom no role is bound")


def mounts_token(rendered: Rendered, pod: Pod) -> bool:
    """Whether a pod gets one: its own word goes before its account's, and without either it does."""
    own = pod.spec.get("automountServiceAccountToken")
    if own is None:
        document = rendered.find("ServiceAccount", pod.namespace, _account(pod))
        own = dig(document, "automountServiceAccountToken")
    return own is not False


def _account(pod: Pod) -> str:
    return str(pod.spec.get("serviceAccountName") or "default")


def _bound(rendered: Rendered) -> set[tuple[str, str]]:
    return {
        (subject.get("namespace", ""), subject["name"])
        for binding in rendered.of("RoleBinding", "ClusterRoleBinding")
        for subject in each(binding, "subjects")
        if subject["kind"] == "ServiceAccount"
    }
