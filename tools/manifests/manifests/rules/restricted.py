"""The restricted Pod Security Standard, each row of its tables a function.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, baseline and restricted, for Linux. Where
a row allows more from some version on, it is what the oldest version that we support allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from manifests.documents import Finding, Rendered, dig, each
from manifests.pods import Container, Pod, pods_of

_ADDED = frozenset(("NET_BIND_SERVICE",))
_SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t")
_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_syncookies",
    )
)
_VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)
_PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_ENFORCE = "pod-security.kubernetes.io/enforce"
_RESTRICTED = "restricted"

_Row = Callable[[Pod], Iterable[tuple[str, str]]]
"""From a pod to (where, what) of each breach."""


def pods(rendered: Rendered) -> Iterator[Finding]:
    """All pods pass the restricted profile."""
    for pod in pods_of(rendered):
        for row in ROWS:
            for where, what in row(pod):
                yield Finding(where, what)


def namespaces(rendered: Rendered) -> Iterator[Finding]:
    """The cluster is told to enforce it."""
    for namespace in rendered.of("Namespace"):
        if dig(namespace, "metadata", "labels", _ENFORCE) != _RESTRICTED:
            name = dig(namespace, "metadata", "name")
            yield Finding(f"Namespace {name}", f"its label {_ENFORCE} has to be {_RESTRICTED}")


def _host_process(pod: Pod) -> Iterator[tuple[str, str]]:
    for where, context in _contexts(pod):
        if dig(context, "windowsOptions", "hostProcess"):
            yield where, "HostProcess: windowsOptions.hostProcess"


def _host_namespaces(pod: Pod) -> Iterator[tuple[str, str]]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield pod.where, f"Host Namespaces: {field}"


def _privileged(pod: Pod) -> Iterator[tuple[str, str]]:
    for container, context in _container_contexts(pod):
        if context.get("privileged"):
            yield container.where, "Privileged Containers: privileged"


def _capabilities(pod: Pod) -> Iterator[tuple[str, str]]:
    for container, context in _container_contexts(pod):
        if "ALL" not in each(context, "capabilities", "drop"):
            yield container.where, "Capabilities: capabilities.drop has to name ALL"
        for name in each(context, "capabilities", "add"):
            if name not in _ADDED:
                yield container.where, f"Capabilities: {name} may not be added"


def _volume_types(pod: Pod) -> Iterator[tuple[str, str]]:
    # Among those it leaves out is hostPath, the row "HostPath Volumes".
    for name, volume in pod.volumes.items():
        for kind in sorted(volume.keys() - _VOLUMES - {"name"}):
            yield pod.where, f"Volume Types: {name} is a {kind}"


def _host_ports(pod: Pod) -> Iterator[tuple[str, str]]:
    for container in pod.containers:
        for port in container.ports:
            if port.get("hostPort"):
                yield container.where, f"Host Ports: hostPort {port['hostPort']}"


def _host_probes(pod: Pod) -> Iterator[tuple[str, str]]:
    for container in pod.containers:
        hooks = container.spec.get("lifecycle") or {}
        actions = {name: container.spec.get(name) for name in _PROBES} | dict(hooks)
        for name, action in actions.items():
            if any(dig(action, field, "host") for field in ("httpGet", "tcpSocket")):
                yield container.where, f"Host Probes / Lifecycle Hooks: host of {name}"


def _app_armor(pod: Pod) -> Iterator[tuple[str, str]]:
    for where, context in _contexts(pod):
        kind = dig(context, "appArmorProfile", "type")
        if kind not in (None, *_PROFILES):
            yield where, f"AppArmor: appArmorProfile.type {kind}"
    for key, value in (dig(pod.template, "metadata", "annotations") or {}).items():
        good = value == "runtime/default" or value.startswith("localhost/")
        if key.startswith(_APPARMOR) and not good:
            yield pod.where, f"AppArmor: {key}: {value}"


def _selinux(pod: Pod) -> Iterator[tuple[str, str]]:
    for where, context in _contexts(pod):
        options = context.get("seLinuxOptions") or {}
        if options.get("type") not in _SELINUX_TYPES:
            yield where, f"SELinux: type {options['type']}"
        for field in ("user", "role"):
            if options.get(field):
                yield where, f"SELinux: {field} is set"


def _proc_mount(pod: Pod) -> Iterator[tuple[str, str]]:
    for container, context in _container_contexts(pod):
        if context.get("procMount") not in (None, "Default"):
            yield container.where, f"/proc Mount Type: procMount {context['procMount']}"


def _sysctls(pod: Pod) -> Iterator[tuple[str, str]]:
    for sysctl in each(pod.spec, "securityContext", "sysctls"):
        if sysctl["name"] not in _SYSCTLS:
            yield pod.where, f"Sysctls: {sysctl['name']}"


def _privilege_escalation(pod: Pod) -> Iterator[tuple[str, str]]:
    for container, context in _container_contexts(pod):
        if context.get("allowPrivilegeEscalation") is not False:
            what = "Privilege Escalation: allowPrivilegeEscalation has to be false"
            yield container.where, what


def _non_root(pod: Pod) -> Iterator[tuple[str, str]]:
    of_pod = dig(pod.spec, "securityContext", "runAsNonRoot")
    for container, context in _container_contexts(pod):
        if context.get("runAsNonRoot", of_pod) is not True:
            yield container.where, "Running as Non-root: runAsNonRoot has to be true"


def _non_root_user(pod: Pod) -> Iterator[tuple[str, str]]:
    for where, context in _contexts(pod):
        if context.get("runAsUser") == 0:
            yield where, "Running as Non-root user: runAsUser is 0"


def _seccomp(pod: Pod) -> Iterator[tuple[str, str]]:
    of_pod = dig(pod.spec, "securityContext", "seccompProfile", "type")
    if of_pod not in (None, *_PROFILES):
        yield pod.where, f"Seccomp: seccompProfile.type {of_pod}"
    for container, context in _container_contexts(pod):
        kind = dig(context, "seccompProfile", "type") or of_pod
        if kind not in _PROFILES:
            what = f"Seccomp: seccompProfile.type has to be {' or '.join(_PROFILES)}"
            yield container.where, what


ROWS: tuple[_Row, ...] = (
    _host_process,
    _host_namespaces,
    _privileged,
    _capabilities,
    _volume_types,
    _host_ports,
    _host_probes,
    _app_armor,
    _selinux,
    _proc_mount,
    _sysctls,
    _privilege_escalation,
    _non_root,
    _non_root_user,
    _seccomp,
)


def _contexts(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield pod.where, pod.spec.get("securityContext") or {}
    for container, context in _container_contexts(pod):
        yield container.where, context


def _container_contexts(pod: Pod) -> Iterator[tuple[Container, Mapping[str, Any]]]:
    for container in pod.containers:
        yield container, container.spec.get("securityContext") or {}
