"""Rules of the compose file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from manifests.compose import (
    FILE,
    Compose,
    dependencies,
    env_files_of,
    environment_of,
    from_files,
    is_there,
    mounted,
    plain,
    secret_files,
)
from manifests.documents import Finding, dig, each
from manifests.rules.running import untagged
from manifests.rules.settings import LISTENS
from manifests.variables import host_of, port_of
from manifests.workflows import schema
from recmesh_kit.settings import PREFIX, SECRETS_DIR

_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|(^|_)KEY$|COOKIE", re.IGNORECASE)
_FILE_NAME = re.compile(r"(FILE|DIR|PATH)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"://[^/\s:@]+:[^/\s@]+@")
_PORT = re.compile(r":(\d+)\b")
_HEALTHY = "service_healthy"
_ONCE = "service_completed_successfully"
_OWN_NETWORK = "default"


def references(compose: Compose) -> Iterator[Finding]:
    """Each secret, config, volume, network and service that is named is there."""
    for name, service in compose.services.items():
        for field in ("secrets", "configs"):
            known = compose.content.get(field) or {}
            for item in each(service, field):
                source = item["source"] if isinstance(item, dict) else item
                if source not in known:
                    yield _of(name, f"there is none of {field} named {source}")
        networks = {_OWN_NETWORK, *(compose.content.get("networks") or {})}
        for network in service.get("networks") or ():
            if network not in networks:
                yield _of(name, f"there is no network {network}")
        for other, condition in dependencies(service):
            if other not in compose.services:
                yield _of(name, f"depends on {other}, which is no service")
            elif condition == _HEALTHY and not compose.services[other].get("healthcheck"):
                yield _of(name, f"waits for {other} to be healthy, which has no healthcheck")


def mounts(compose: Compose) -> Iterator[Finding]:
    """Each volume that is mounted is named, and each file or folder is in the checkout or made by compose-secrets."""
    volumes = compose.content.get("volumes") or {}
    for name, service in compose.services.items():
        for path in env_files_of(service):
            if not (compose.root / path).is_file():
                yield _of(name, f"there is no {path}")
        for source, _ in mounted(service):
            if not source.startswith((".", "/", "~")):
                if source not in volumes:
                    yield _of(name, f"there is no volume {source}")
            elif not is_there(compose, source):
                yield _of(name, f"there is no {source}")
    for kind in ("secrets", "configs"):
        for name, entry in (compose.content.get(kind) or {}).items():
            source = entry.get("file")
            if source and not is_there(compose, source):
                yield Finding(f"{FILE}, {kind} {name}", f"there is no {source}")


def passwords(compose: Compose) -> Iterator[Finding]:
    """No value is a password, nor has a default that is one."""
    for name, service in compose.services.items():
        for variable, value in environment_of(service).items():
            said = plain(value) if "$" in value and ":-" in value else value
            is_secret = bool(_SECRET_NAME.search(variable)) and not _FILE_NAME.search(variable)
            if (is_secret and said and not said.startswith("$")) or _CREDENTIALS.search(said):
                yield _of(name, f"{variable}: a secret comes by a file")


def settings(compose: Compose) -> Iterator[Finding]:
    """Our processes are given settings that they have, and all that they need."""
    for name, service, process in compose.processes():
        given = {**from_files(compose, service), **environment_of(service)}
        files = secret_files(compose, service, given.get(SECRETS_DIR, ""))
        for variable in sorted({*given, *files}):
            ours = variable.startswith(PREFIX) or variable in files
            if ours and variable not in process.variables:
                yield _of(name, f"{variable} is no setting of {process.settings.__name__}")
        values = {**files, **{key: plain(value) for key, value in given.items()}}
        values.pop(SECRETS_DIR, None)
        for problem in process.problems(values):
            yield _of(name, problem)
        for variable, value in given.items():
            if not variable.endswith("_TARGET") or variable not in process.variables:
                continue
            if host_of(value) not in compose.services:
                yield _of(name, f"{variable}: {host_of(value)} is no service")
            elif port_of(value) not in _heard(compose, host_of(value)):
                yield _of(name, f"{variable}: {host_of(value)} does not listen on {port_of(value)}")


def ports(compose: Compose) -> Iterator[Finding]:
    """What is published, and what is asked for health, is a port that the process listens on."""
    for name, _, process in compose.processes():
        service = compose.services[name]
        used = [plain(port).rpartition(":")[2].partition("/")[0] for port in each(service, "ports")]
        used += _PORT.findall(" ".join(map(str, each(service, "healthcheck", "test"))))
        heard = _heard(compose, name) if process.serves else set()
        for port in used:
            if int(port) not in heard:
                yield _of(name, f"does not listen on {port}")


def images(compose: Compose) -> Iterator[Finding]:
    """Each image has a tag, and not `latest`."""
    for name, service in compose.services.items():
        if problem := untagged(plain(service.get("image", ""))):
            yield _of(name, problem)


def hardening(compose: Compose) -> Iterator[Finding]:
    """Ours run with a read-only root, without capabilities and without a way to more rights."""
    for name, service in compose.ours():
        if service.get("read_only") is not True:
            yield _of(name, "read_only has to be true")
        if "ALL" not in each(service, "cap_drop"):
            yield _of(name, "cap_drop has to name ALL")
        if service.get("cap_add") or service.get("privileged"):
            yield _of(name, "is given rights")
        if not any("no-new-privileges" in str(item) for item in each(service, "security_opt")):
            yield _of(name, "security_opt has to name no-new-privileges")


def limits(compose: Compose) -> Iterator[Finding]:
    """Each has a limit of memory, and what stays says what happens when it ends."""
    once = {
        other
        for service in compose.services.values()
        for other, condition in dependencies(service)
        if condition == _ONCE
    }
    for name, service in compose.services.items():
        if not (
            service.get("mem_limit") or dig(service, "deploy", "resources", "limits", "memory")
        ):
            yield _of(name, "has no limit of memory")
        if name not in once and not service.get("restart"):
            yield _of(name, "says nothing of restart")


RULES: tuple[Callable[[Compose], Iterable[Finding]], ...] = (
    references,
    mounts,
    passwords,
    settings,
    ports,
    images,
    hardening,
    limits,
)


def check(root: Path) -> Iterator[Finding]:
    """What is wrong with the compose file of a checkout."""
    yield from schema(root / FILE, "--builtin-schema=vendor.compose-spec")
    compose = Compose.read(root)
    for rule in RULES:
        yield from rule(compose)


def _heard(compose: Compose, name: str) -> set[int | None]:
    """The ports that a process of ours listens on."""
    given = {
        **from_files(compose, compose.services[name]),
        **environment_of(compose.services[name]),
    }
    return {port_of(given[variable]) for variable in LISTENS if variable in given}


def _of(service: str, what: str) -> Finding:
    return Finding(f"{FILE}, {service}", what)
