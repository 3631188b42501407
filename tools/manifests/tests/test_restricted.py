"""Each row of the tables of the Pod Security Standards that are the restricted profile."""

from typing import Any

import pytest

from manifests.rules import restricted
from tools.manifests.tests.good import broken, good

POD = "spec template spec"
PLACES = {
    "main": ("Deployment catalog", f"{POD} containers 0"),
    "init": ("StatefulSet store", f"{POD} initContainers 0"),
}
CONTEXTS: list[tuple[str, Any, str]] = [
    ("windowsOptions", {"hostProcess": True}, "HostProcess"),
    ("privileged", True, "Privileged Containers"),
    ("capabilities", {"drop": ["NET_RAW"]}, "has to name ALL"),
    ("capabilities", {"drop": ["ALL"], "add": ["CHOWN"]}, "CHOWN may not be added"),
    ("appArmorProfile", {"type": "Unconfined"}, "AppArmor: appArmorProfile.type Unconfined"),
    ("seLinuxOptions", {"type": "spc_t"}, "SELinux: type spc_t"),
    ("seLinuxOptions", {"user": "system_u"}, "SELinux: user is set"),
    ("seLinuxOptions", {"role": "system_r"}, "SELinux: role is set"),
    ("procMount", "Unmasked", "/proc Mount Type: procMount Unmasked"),
    ("allowPrivilegeEscalation", True, "Privilege Escalation"),
    ("allowPrivilegeEscalation", None, "Privilege Escalation"),
    ("runAsNonRoot", False, "Running as Non-root:"),
    ("runAsUser", 0, "Running as Non-root user"),
    ("seccompProfile", {"type": "Unconfined"}, "Seccomp"),
]
"""Field of a container's securityContext, value, what is said."""
PODS: list[tuple[str, Any, str]] = [
    ("hostNetwork", True, "Host Namespaces: hostNetwork"),
    ("hostPID", True, "Host Namespaces: hostPID"),
    ("hostIPC", True, "Host Namespaces: hostIPC"),
    (
        "volumes 0",
        {"name": "secrets", "hostPath": {"path": "/"}},
        "Volume Types: secrets is a hostPath",
    ),
    ("volumes 0", {"name": "secrets", "nfs": {}}, "Volume Types: secrets is a nfs"),
    ("containers 0 ports 0 hostPort", 80, "Host Ports: hostPort 80"),
    ("containers 0 readinessProbe", {"httpGet": {"host": "10.0.0.1"}}, "host of readinessProbe"),
    ("containers 0 lifecycle preStop", {"tcpSocket": {"host": "10.0.0.1"}}, "host of preStop"),
    (
        "securityContext sysctls",
        [{"name": "kernel.msgmax", "value": "1"}],
        "Sysctls: kernel.msgmax",
    ),
    (
        "securityContext seccompProfile",
        {"type": "Unconfined"},
        "Seccomp: seccompProfile.type Unconfined",
    ),
    ("securityContext", {"runAsNonRoot": True}, "Seccomp: seccompProfile.type has to be"),
    ("securityContext runAsNonRoot", None, "Running as Non-root:"),
    ("securityContext runAsUser", 0, "Running as Non-root user"),
    ("securityContext windowsOptions", {"hostProcess": True}, "HostProcess"),
    ("securityContext seLinuxOptions", {"type": "spc_t"}, "SELinux"),
    ("securityContext appArmorProfile", {"type": "Unconfined"}, "AppArmor"),
]
"""Path in a pod's spec, value, what is said."""


def test_a_restricted_pod_passes() -> None:
    assert list(restricted.pods(good())) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("field", "value", "said"), CONTEXTS)
def test_containers(place: str, field: str, value: Any, said: str) -> None:
    whose, path = PLACES[place]
    found = list(restricted.pods(broken(whose, f"{path} securityContext {field}", value)))
    assert [said in str(finding) for finding in found] == [True], found


def test_a_debugging_container_is_looked_at_too() -> None:
    rendered = broken("Deployment catalog", f"{POD} ephemeralContainers", [{"name": "debug"}])
    assert {finding.where for finding in restricted.pods(rendered)} == {
        "Deployment catalog, container debug"
    }


@pytest.mark.parametrize(("path", "value", "said"), PODS)
def test_pods(path: str, value: Any, said: str) -> None:
    found = list(restricted.pods(broken("Deployment catalog", f"{POD} {path}", value)))
    assert any(said in str(finding) for finding in found), found


def test_what_is_allowed_passes() -> None:
    context = f"{POD} containers 0 securityContext"
    for path, value in (
        (f"{context} capabilities add", ["NET_BIND_SERVICE"]),
        (f"{context} appArmorProfile", {"type": "Localhost"}),
        (f"{context} seLinuxOptions", {"type": "container_t"}),
        (f"{POD} securityContext sysctls", [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]),
        (f"{POD} volumes 1", {"name": "settings", "emptyDir": {}}),
    ):
        assert list(restricted.pods(broken("Deployment catalog", path, value))) == []


@pytest.mark.parametrize(
    ("value", "said"), [("unconfined", True), ("runtime/default", False), ("localhost/x", False)]
)
def test_app_armor_by_annotation(value: str, said: bool) -> None:
    annotations = {"container.apparmor.security.beta.kubernetes.io/catalog": value}
    rendered = broken("Deployment catalog", "spec template metadata annotations", annotations)
    assert bool(list(restricted.pods(rendered))) == said
