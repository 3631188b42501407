"""Each rule: it says nothing of a mesh in which all is well, and finds the one thing that is not."""

from typing import Any

import pytest

from manifests import rules, schemas
from manifests.documents import Rendered, title
from manifests.rules import (
    Rule,
    flows,
    ports,
    references,
    restricted,
    running,
    scaling,
    selectors,
    settings,
    tokens,
    volumes,
)
from tools.manifests.tests.good import GONE, broken, good

CATALOG, STORE = "Deployment catalog", "StatefulSet store"
POD = "spec template spec"
MAIN = f"{POD} containers 0"
PREFERRED = f"{POD} affinity podAntiAffinity preferredDuringSchedulingIgnoredDuringExecution"
STORE_POLICY = "NetworkPolicy store"
POLICY, HPA, BUDGET = (
    "NetworkPolicy catalog",
    "HorizontalPodAutoscaler catalog",
    "PodDisruptionBudget catalog",
)
OTHER = {"matchLabels": {"app": "nobody"}}
SETTINGS = "ConfigMap recmesh"

CASES: list[tuple[Rule, str, str, Any, str]] = [
    # rule, document, path, value, what is said
    (
        selectors.services,
        "Service catalog",
        "spec selector app",
        "nobody",
        "app=nobody selects no pod",
    ),
    (
        selectors.services,
        "Service catalog",
        "spec selector",
        GONE,
        "neither a selector nor endpoints",
    ),
    (
        selectors.workloads,
        CATALOG,
        "spec selector matchLabels app",
        "x",
        "does not match the labels of its own",
    ),
    (
        selectors.workloads,
        CATALOG,
        "spec selector matchLabels",
        {},
        "takes the pods of StatefulSet store",
    ),
    (selectors.budgets, BUDGET, "spec selector", OTHER, "the pods of one workload: none"),
    (selectors.budgets, BUDGET, "spec selector", {}, "Deployment catalog, StatefulSet store"),
    (
        selectors.policies,
        POLICY,
        "spec podSelector",
        OTHER,
        "podSelector app=nobody selects no pod",
    ),
    (
        selectors.policies,
        POLICY,
        "spec ingress 0 from 0 podSelector",
        OTHER,
        "the peer app=nobody selects no",
    ),
    (
        selectors.policies,
        POLICY,
        "spec egress 0 to 0 podSelector",
        OTHER,
        "the peer app=nobody selects no",
    ),
    (
        selectors.unbudgeted,
        BUDGET,
        "spec selector matchLabels app",
        "store",
        "Deployment catalog: no",
    ),
    (selectors.unspread, CATALOG, f"{POD} topologySpreadConstraints", GONE, "is not spread"),
    (
        selectors.spreads,
        CATALOG,
        f"{POD} topologySpreadConstraints 0 labelSelector",
        OTHER,
        "its own pods",
    ),
    (
        selectors.affinities,
        CATALOG,
        f"{PREFERRED} 0 podAffinityTerm labelSelector matchExpressions 0 values",
        ["nobody"],
        "selects no pod",
    ),
    (
        ports.services,
        "Service catalog",
        "spec ports 0 targetPort",
        "http",
        "no container of Deployment catalog",
    ),
    (ports.services, "Service store", "spec ports 0 targetPort", 9091, "has the port 9091"),
    (ports.services, "Service store", "spec ports 0 targetPort", GONE, "has the port 443"),
    (
        ports.probes,
        CATALOG,
        f"{MAIN} readinessProbe grpc port",
        50051,
        "readinessProbe asks port 50051",
    ),
    (ports.probes, STORE, f"{MAIN} startupProbe httpGet port", "web", "startupProbe asks port web"),
    (ports.unprobed, CATALOG, f"{MAIN} startupProbe", GONE, "has no startupProbe"),
    (ports.subjects, CATALOG, f"{MAIN} livenessProbe grpc service", "live", "the subject 'live'"),
    (ports.policies, POLICY, "spec ingress 0 ports 0 port", 50051, "ingress port 50051 is none of"),
    (
        ports.policies,
        POLICY,
        "spec egress 0 ports 0 port",
        "stored",
        "egress port stored is none of",
    ),
    (
        references.configuration,
        CATALOG,
        f"{POD} volumes 0 secret secretName",
        "x",
        "there is no Secret x",
    ),
    (
        references.configuration,
        CATALOG,
        f"{POD} volumes 1 configMap items 0 key",
        "x",
        "has no key x",
    ),
    (
        references.configuration,
        CATALOG,
        f"{MAIN} envFrom 0 configMapRef name",
        "x",
        "there is no ConfigMap x",
    ),
    (
        references.configuration,
        CATALOG,
        f"{MAIN} env 0",
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "catalog", "key": "B"}}},
        "Secret catalog has no key B",
    ),
    (references.configuration, CATALOG, f"{POD} imagePullSecrets", [{"name": "x"}], "no Secret x"),
    (
        references.configuration,
        CATALOG,
        f"{POD} volumes 0",
        {"name": "secrets", "projected": {"sources": [{"secret": {"name": "x"}}]}},
        "there is no Secret x",
    ),
    (
        references.subpaths,
        CATALOG,
        f"{MAIN} volumeMounts 1 subPath",
        "x",
        "/etc/one: the volume has no file x",
    ),
    (
        references.accounts,
        CATALOG,
        f"{POD} serviceAccountName",
        "x",
        "there is no ServiceAccount x",
    ),
    (references.claims, STORE, f"{POD} volumes 0 persistentVolumeClaim claimName", "x", "Claim x"),
    (references.claims, STORE, "spec serviceName", "x", "there is no Service x"),
    (
        references.api_services,
        "APIService v1beta1.external.metrics.k8s.io",
        "spec service name",
        "x",
        "there is no Service mesh/x",
    ),
    (
        references.api_services,
        "APIService v1beta1.external.metrics.k8s.io",
        "spec service port",
        8443,
        "has no port 8443",
    ),
    (references.rights, "RoleBinding store", "roleRef name", "x", "there is no Role x"),
    (
        references.rights,
        "RoleBinding store",
        "subjects 0 name",
        "x",
        "there is no ServiceAccount x",
    ),
    (references.namespaces, SETTINGS, "metadata namespace", GONE, "names no namespace"),
    (references.namespaces, SETTINGS, "metadata name", "adapter", "is there twice"),
    (references.unused, "Secret catalog", "metadata name", "x", "Secret x: is used by nobody"),
    (
        flows.addresses,
        STORE,
        f"{MAIN} args",
        ["catalog:50051"],
        "calls Service catalog at 50051, which",
    ),
    (
        flows.services,
        POLICY,
        "spec ingress 0 ports 0 port",
        1,
        "at 50052, and no policy allows it (Ingress)",
    ),
    (
        flows.services,
        STORE_POLICY,
        "spec egress 0 ports 0 endPort",
        9999,
        "at 50052, and no policy allows it (Egress)",
    ),
    (
        flows.services,
        STORE_POLICY,
        "spec egress 0 to 0",
        {"ipBlock": {"cidr": "0.0.0.0/0"}},
        "(Egress)",
    ),
    (
        flows.metrics,
        POLICY,
        "spec ingress 0 ports 1 port",
        "metric",
        "scrapes Deployment catalog at 9464",
    ),
    (
        flows.names,
        POLICY,
        "spec egress 1",
        {},
        "Deployment catalog: no policy lets it ask for names",
    ),
    (
        flows.api,
        STORE_POLICY,
        "spec egress 1 ports 1 port",
        80,
        "no policy lets it reach the cluster's API",
    ),
    (volumes.mounts, CATALOG, f"{MAIN} volumeMounts 0 name", "x", "there is no volume x"),
    (volumes.mounts, CATALOG, f"{MAIN} volumeMounts 0 mountPath", "/etc/one", "is mounted 2 times"),
    (
        volumes.unused,
        CATALOG,
        f"{MAIN} volumeMounts 1",
        {"name": "secrets", "mountPath": "/x"},
        "settings",
    ),
    (
        settings.names,
        SETTINGS,
        "data RECMESH_LOG_LEVELS",
        "info",
        "RECMESH_LOG_LEVELS is no setting of Catalog",
    ),
    (
        settings.names,
        CATALOG,
        f"{MAIN} env 0 name",
        "RECMESH_JOB_BATCH",
        "RECMESH_JOB_BATCH is no setting",
    ),
    (
        settings.names,
        "Secret catalog",
        "stringData AMQP",
        "x",
        "RECMESH_SECRETS_DIR: AMQP is no setting",
    ),
    (
        settings.names,
        CATALOG,
        f"{MAIN} volumeMounts 0 mountPath",
        "/x",
        "nothing is mounted at /run/secrets/r",
    ),
    (
        settings.values,
        SETTINGS,
        "data RECMESH_AUTH_TARGET",
        GONE,
        "RECMESH_AUTH_TARGET: Field required",
    ),
    (settings.values, "Secret catalog", "stringData AMQP_URL", GONE, "AMQP_URL: Field required"),
    (settings.values, CATALOG, f"{MAIN} env 0 value", "loud", "RECMESH_LOG_LEVEL: Input should be"),
    (
        settings.secrets,
        CATALOG,
        f"{MAIN} env 0",
        {"name": "AMQP_URL", "valueFrom": {"secretKeyRef": {"name": "catalog", "key": "AMQP_URL"}}},
        "AMQP_URL: a secret comes by a file",
    ),
    (
        settings.secrets,
        CATALOG,
        f"{MAIN} envFrom 0",
        {"secretRef": {"name": "catalog"}},
        "by files",
    ),
    (
        settings.folders,
        SETTINGS,
        "data RECMESH_SIGNING_KEYS_DIR",
        "/keys",
        "nothing is mounted at /keys",
    ),
    (
        settings.listens,
        SETTINGS,
        "data RECMESH_LISTEN",
        "0.0.0.0:50051",
        "listens on 50051, which is no port",
    ),
    (
        settings.listens,
        SETTINGS,
        "data RECMESH_METRICS_LISTEN",
        "off",
        "port 9464: the process does not listen",
    ),
    (
        settings.targets,
        SETTINGS,
        "data RECMESH_AUTH_TARGET",
        "auht:50051",
        "there is no Service auht in mesh",
    ),
    (
        settings.targets,
        SETTINGS,
        "data RECMESH_AUTH_TARGET",
        "auth:50052",
        "auth has no port 50052",
    ),
    (scaling.targets, HPA, "spec scaleTargetRef name", "x", "there is no Deployment x"),
    (
        scaling.targets,
        CATALOG,
        "spec replicas",
        2,
        "states replicas, which HorizontalPodAutoscaler catalog",
    ),
    (scaling.bounds, HPA, "spec minReplicas", 5, "at least 5 and at most 4 replicas"),
    (
        scaling.metrics,
        HPA,
        "spec metrics 1 external metric name",
        "x",
        "the metric x (they make: demand)",
    ),
    (scaling.metrics, CATALOG, f"{MAIN} resources requests cpu", GONE, "requests no cpu"),
    (scaling.budgets, BUDGET, "spec maxUnavailable", 0, "none may ever be evicted"),
    (scaling.budgets, BUDGET, "spec minAvailable", 2, "of 2 pods of Deployment catalog none"),
    (running.images, STORE, f"{MAIN} image", "registry:5000/store", "store has no tag"),
    (
        running.images,
        STORE,
        f"{POD} initContainers 0 image",
        "store:latest",
        "may be another tomorrow",
    ),
    (
        running.resources,
        STORE,
        f"{MAIN} resources limits memory",
        GONE,
        "resources.limits.memory is missing",
    ),
    (running.resources, STORE, f"{MAIN} resources limits memory", "1 GB", "1 GB is no quantity"),
    (
        running.read_only,
        CATALOG,
        f"{MAIN} securityContext readOnlyRootFilesystem",
        GONE,
        "has to be true",
    ),
    (running.graces, CATALOG, f"{POD} terminationGracePeriodSeconds", GONE, "is 30, it needs 40"),
    (running.graces, SETTINGS, "data RECMESH_DRAIN_SECONDS", "60", "is 40, it needs 80"),
    (
        running.graces,
        CATALOG,
        f"{MAIN} lifecycle preStop",
        {"exec": {"command": ["sleep", "9"]}},
        "needs 44",
    ),
    (running.farewells, "Service catalog", "spec clusterIP", "None", "serves on for 5 s, and DNS"),
    (running.patience, CATALOG, "spec progressDeadlineSeconds", GONE, "is 600, and `make deploy`"),
    (
        volumes.readable,
        CATALOG,
        f"{POD} volumes 0 secret defaultMode",
        0o440,
        "the files of secrets (mode 0440)",
    ),
    (
        volumes.readable,
        CATALOG,
        f"{POD} volumes 1 configMap items 0 mode",
        0o400,
        "the files of settings (mode 0400)",
    ),
    (restricted.namespaces, "Namespace mesh", "metadata labels", {}, "has to be restricted"),
    (
        tokens.unneeded,
        "ServiceAccount catalog",
        "automountServiceAccountToken",
        GONE,
        "the token of catalog",
    ),
    (
        tokens.unneeded,
        "RoleBinding store",
        "subjects",
        [],
        "the token of store, to whom no role is bound",
    ),
]


def test_nothing_is_said_of_what_is_right() -> None:
    assert list(rules.check(good())) == []
    assert [finding for document in good().documents for finding in schemas.check(document)] == []


@pytest.mark.parametrize(("rule", "whose", "path", "value", "said"), CASES)
def test_finds(rule: Rule, whose: str, path: str, value: Any, said: str) -> None:
    rendered = broken(whose, path, value)
    assert any(said in str(finding) for finding in rule(rendered)), [str(f) for f in rule(rendered)]


def test_no_rule_is_without_a_case() -> None:
    assert {case[0] for case in CASES} | {restricted.pods, scaling.triggers} == set(rules.ALL)


def test_files_of_the_pods_group_may_be_read() -> None:
    rendered = broken(CATALOG, f"{POD} volumes 0 secret defaultMode", 0o440)
    [catalog] = [document for document in rendered.documents if title(document) == CATALOG]
    catalog["spec"]["template"]["spec"]["securityContext"]["fsGroup"] = 1
    assert list(volumes.readable(rendered)) == []


def test_a_migration_is_there_as_long_as_it_is_waited_for() -> None:
    job: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "namespace": "mesh"},
        "spec": {
            "ttlSecondsAfterFinished": 600,
            "template": {"spec": {"containers": [{"name": "it", "image": "recmesh/auth:1"}]}},
        },
    }
    [finding] = running.patience(Rendered([job]))
    assert finding.what.startswith("ttlSecondsAfterFinished is 600")
    job["spec"]["ttlSecondsAfterFinished"] = 1200
    assert list(running.patience(Rendered([job]))) == []
