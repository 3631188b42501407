"""What is put into a cluster, with a kubectl that writes down what it is asked."""

import json
import os
import re
from pathlib import Path

import pytest

from manifests import deploy

KUBECTL = """#!/bin/sh
echo "$@" >> calls
case $1 in
    kustomize) cat rendered.yaml ;;
    get) cat running.json ;;
    apply) cat > applied.yaml ;;
    rollout) test ! -e stuck || { echo "it does not come" >&2; exit 1; } ;;
esac
"""
LATER = re.compile("^  labels:\n    app.kubernetes.io/component: service$", re.MULTILINE)
RENDERED = """\
kind: Deployment
spec:
  template:
    spec:
      containers:
      - image: recmesh/auth:0.1.0
        name: auth
      - env: []
        image: recmesh/worker:0.1.0
      - image: other/recmesh/authority:1
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with services auth and worker and an overlay, and a cluster in which worker runs."""
    for service in ("auth", "worker"):
        (tmp_path / "services" / service).mkdir(parents=True)
        (tmp_path / "services" / service / "pyproject.toml").touch()
    overlay = tmp_path / "deploy/k8s/overlays/prod"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text("namespace: mesh\n")
    (tmp_path / "rendered.yaml").write_text(RENDERED)
    container = {"image": "registry.example/recmesh/worker@sha256:12"}
    worker = {
        "metadata": {"name": "worker"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    (tmp_path / "running.json").write_text(json.dumps({"items": [worker]}))
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kubectl.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(folder: Path) -> list[str]:
    lines = (folder / "applied.yaml").read_text().splitlines()
    return [line.partition("image: ")[2] for line in lines if "image: " in line]


def test_puts_a_service_and_leaves_the_others(cluster: Path) -> None:
    assert deploy.main(["--overlay", "prod", "--tag", "1", "--images", "r.example/x", "auth"]) == 0
    assert images(cluster) == [
        "r.example/x/auth:1",
        "registry.example/recmesh/worker@sha256:12",
        "other/recmesh/authority:1",
    ]
    jobs = "jobs --namespace mesh --selector=app.kubernetes.io/component=migration"
    _, _, *steps = (cluster / "calls").read_text().splitlines()
    assert steps == [
        f"delete {jobs} --ignore-not-found",
        "apply --filename=- --selector=app.kubernetes.io/component!=service",
        "rollout status --namespace mesh deployment/worker --timeout=900s",
        "apply --filename=-",
        f"wait {jobs} --for=condition=complete --timeout=900s",
        "rollout status --namespace mesh deployment/auth --timeout=900s",
        "rollout status --namespace mesh deployment/worker --timeout=900s",
    ]


def test_the_first_time_all_come_at_once(cluster: Path) -> None:
    (cluster / "running.json").write_text(json.dumps({"items": []}))
    assert deploy.main(["--overlay", "prod", "--tag", "1", "auth", "worker"]) == 0
    steps = (cluster / "calls").read_text().splitlines()
    assert [step for step in steps if step.startswith("apply")] == ["apply --filename=-"]


def test_what_comes_after_the_workers_is_the_deployments_of_the_services() -> None:
    base = Path(__file__).parents[3] / "deploy/k8s/base"
    texts = {path: path.read_text() for path in base.rglob("*.yaml")}
    later = [str(path.relative_to(base)) for path, text in texts.items() if LATER.search(text)]
    assert sorted(later) == [
        f"{name}/deployment.yaml" for name in ("auth", "catalog", "recommender")
    ]


def test_keeps_the_names_of_the_overlay(cluster: Path) -> None:
    assert deploy.main(["--overlay", "prod", "--tag", "2", "auth", "worker"]) == 0
    assert images(cluster)[:2] == ["recmesh/auth:2", "recmesh/worker:2"]


def test_without_services_only_manifests_are_put(cluster: Path) -> None:
    assert deploy.main(["--overlay", "prod"]) == 0
    assert images(cluster)[:2] == [
        "recmesh/auth:0.1.0",
        "registry.example/recmesh/worker@sha256:12",
    ]


def test_a_dry_run_asks_nobody(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["--overlay", "prod", "--tag", "1", "--dry-run", "auth"]) == 0
    assert not (cluster / "calls").exists()
    assert "kubectl apply --filename=-\n" in capsys.readouterr().out


def test_says_when_pods_do_not_come(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cluster / "stuck").touch()
    assert deploy.main(["--overlay", "prod"]) == 1
    assert "kubectl rollout: it does not come" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--overlay", "test"], "there is no overlay test"),
        (["--overlay", "prod", "--tag", "1", "auht"], "there is no service auht"),
        (["--overlay", "prod", "auth"], "--tag says it"),
    ],
)
def test_refuses(
    cluster: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert deploy.main(words) == 1
    assert said in capsys.readouterr().err
    assert not (cluster / "calls").exists()
