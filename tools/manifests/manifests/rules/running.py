"""How containers run: from which image, with how much, and how they end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from manifests.deploy import PATIENCE_SECONDS
from manifests.documents import Finding, Rendered, dig, kind_of, namespace_of
from manifests.labels import is_part
from manifests.pods import Pod, pods_of
from manifests.processes import process_of
from manifests.variables import everything_of

_DEFAULT_GRACE = 30
_DEFAULT_DEADLINE = 600
_DNS_SECONDS = 30
"""How long CoreDNS keeps an answer, as it is installed."""
_SPARE = 15
"""Seconds between the end of the drain and being killed: pools close, the last logs are written."""
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?")
_DRAIN = "RECMESH_DRAIN_SECONDS"
_SLEEP = "sleep"


def images(rendered: Rendered) -> Iterator[Finding]:
    """An image has a tag or a digest, and the tag is not `latest`."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            if problem := untagged(container.spec.get("image", "")):
                yield Finding(container.where, problem)


def untagged(image: str) -> str | None:
    """What is wrong with the tag of an image; None when nothing is."""
    if not image:
        return "names no image"
    if "@sha256:" in image:
        return None
    tag = image.rpartition("/")[2].partition(":")[2]
    if not tag:
        return f"the image {image} has no tag"
    return f"the image {image} may be another tomorrow" if tag == "latest" else None


def resources(rendered: Rendered) -> Iterator[Finding]:
    """A container requests CPU and memory, and may not take all of a node's memory."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            for field, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if dig(container.spec, "resources", field, name) is None:
                    yield Finding(container.where, f"resources.{field}.{name} is missing")
            for field in ("requests", "limits"):
                for name, amount in (dig(container.spec, "resources", field) or {}).items():
                    # The schemas take any text.
                    if not _QUANTITY.fullmatch(str(amount)):
                        what = f"resources.{field}.{name}: {amount} is no quantity"
                        yield Finding(container.where, what)


def read_only(rendered: Rendered) -> Iterator[Finding]:
    """Our containers run with a read-only root file system."""
    for pod in pods_of(rendered):
        for container in pod.containers:
            if process_of(container.spec) is None:
                continue
            if dig(container.spec, "securityContext", "readOnlyRootFilesystem") is not True:
                yield Finding(container.where, "readOnlyRootFilesystem has to be true")


def graces(rendered: Rendered) -> Iterator[Finding]:
    """A pod of ours has the time for its preStop, its drain and its end."""
    for pod in pods_of(rendered):
        needed = _needed(rendered, pod)
        given = pod.spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
        if needed and given < needed:
            yield Finding(
                pod.where, f"terminationGracePeriodSeconds is {given}, it needs {needed:g}"
            )


def farewells(rendered: Rendered) -> Iterator[Finding]:
    """Whom callers find by DNS alone (a headless Service) serves on until they no longer do."""
    for pod in pods_of(rendered):
        pauses = [
            _pause(dig(container.spec, "lifecycle", "preStop") or {})
            for container in pod.containers
            if (process := process_of(container.spec)) and process.serves
        ]
        for service in rendered.of("Service"):
            selector = dig(service, "spec", "selector")
            if (
                pauses
                and selector
                and dig(service, "spec", "clusterIP") == "None"
                and namespace_of(service) == pod.namespace
                and is_part(selector, pod.labels)
                and max(pauses) <= _DNS_SECONDS
            ):
                what = f"serves on for {max(pauses):g} s, and DNS may name it for {_DNS_SECONDS}"
                yield Finding(pod.where, what)


def patience(rendered: Rendered) -> Iterator[Finding]:
    """What `make deploy` waits for is there as long as it waits: a Job that has ended, and a rollout's hope."""
    for pod in pods_of(rendered):
        if not any(process_of(container.spec) for container in pod.containers):
            continue
        match kind_of(pod.owner):
            case "Deployment":
                field, given = "progressDeadlineSeconds", _DEFAULT_DEADLINE
            case "Job":
                field, given = "ttlSecondsAfterFinished", PATIENCE_SECONDS + 1
            case _:
                continue
        given = int(dig(pod.owner, "spec", field) or given)
        if given <= PATIENCE_SECONDS:
            what = f"{field} is {given}, and `make deploy` waits for {PATIENCE_SECONDS}"
            yield Finding(pod.where, what)


def _needed(rendered: Rendered, pod: Pod) -> float:
    needed = 0.0
    for container in pod.containers:
        process = process_of(container.spec)
        if process is None or not process.serves:
            continue
        field = process.settings.model_fields["drain_seconds"]
        drain = everything_of(rendered, pod, container).get(_DRAIN, field.default)
        hook = dig(container.spec, "lifecycle", "preStop") or {}
        needed = max(needed, _pause(hook) + float(drain) + _SPARE)
    return needed


def _pause(hook: Any) -> float:
    """Seconds that a preStop hook sleeps."""
    if (seconds := dig(hook, _SLEEP, "seconds")) is not None:
        return float(seconds)
    match dig(hook, "exec", "command") or []:
        case [*_, program, seconds] if str(program).rpartition("/")[2] == _SLEEP:
            return float(seconds)
    return 0.0
