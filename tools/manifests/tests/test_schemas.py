"""Kubernetes's schemas, and our own of custom resources."""

from copy import deepcopy
from typing import Any

import kubernetes_validate
import pytest

from manifests import schemas
from manifests.documents import Rendered
from manifests.rules import scaling
from tools.manifests.tests.good import broken, good

SCALED: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "worker", "namespace": "mesh"},
    "spec": {
        "scaleTargetRef": {"name": "worker"},
        "triggers": [
            {"type": "prometheus", "metadata": {"serverAddress": "http://prometheus.mesh:9090"}}
        ],
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}
            }
        },
    },
}


def said(document: Any) -> str:
    return "\n".join(str(finding) for finding in schemas.check(document))


def test_a_field_that_does_not_exist_is_found_in_every_version() -> None:
    service = next(broken("Service catalog", "spec selektor", {}).of("Service"))
    every = ", ".join(version.rpartition(".")[0] for version in schemas.versions())
    assert said(service) == (
        "Service catalog: spec: Additional properties are not allowed ('selektor' was unexpected) "
        f"(Kubernetes {every})"
    )


def test_says_what_kubernetes_validate_says() -> None:
    # Which reads the schemas anew for each document.
    for rendered in (good(), broken("Service catalog", "spec selektor", {})):
        service = next(rendered.of("Service"))
        try:
            kubernetes_validate.validate(dict(service), "1.37", strict=True)
            passes = True
        except kubernetes_validate.ValidationError:
            passes = False
        assert passes == (said(service) == "")


def test_what_is_newer_than_the_oldest_version_is_found_in_that() -> None:
    # It came with 1.33.
    [catalog] = broken(
        "Deployment catalog", "spec template spec containers 0 lifecycle stopSignal", "SIGINT"
    ).of("Deployment")
    assert "(Kubernetes 1.30)" in said(catalog)


def test_a_kind_that_no_schema_is_of_is_found() -> None:
    assert "there is no schema of example.org/v1 Deployment" in said(
        {"apiVersion": "example.org/v1", "kind": "Deployment", "metadata": {"name": "x"}}
    )


def test_a_scaled_object_passes() -> None:
    assert said(SCALED) == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec cooldown", 1),
        ("spec minReplicaCount", -1),
        ("spec triggers 0 metadata threshold", 1),
        ("spec triggers 0 metricType", "Sum"),
        (
            "spec advanced horizontalPodAutoscalerConfig behavior scaleDown",
            {"stabilisationWindowSeconds": 1},
        ),
    ],
)
def test_a_wrong_scaled_object_does_not(path: str, value: Any) -> None:
    document = here = deepcopy(SCALED)
    *steps, last = path.split()
    for step in steps:
        here = here[int(step) if step.isdigit() else step]  # type: ignore[index]
    here[last] = value
    assert "(Kubernetes 1.30" in said(document)


def test_the_prometheus_of_a_scaled_object_is_looked_for() -> None:
    [finding] = scaling.triggers(Rendered([SCALED]))
    assert finding.what == "no Service listens at http://prometheus.mesh:9090"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "prometheus", "namespace": "mesh"},
        "spec": {"ports": [{"port": 9090}]},
    }
    assert list(scaling.triggers(Rendered([SCALED, service]))) == []


def test_the_prometheus_of_a_scaled_object_is_named_with_its_namespace() -> None:
    scaled = deepcopy(SCALED)
    scaled["spec"]["triggers"][0]["metadata"]["serverAddress"] = "http://prometheus:9090"
    [finding] = scaling.triggers(Rendered([scaled]))
    assert finding.what == "http://prometheus:9090 names no namespace, and KEDA asks from its own"
