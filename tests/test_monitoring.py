"""What is shipped to watch the mesh holds together: dashboards, rules and configurations, without a mesh."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from localmesh.debian import program
from localmesh.prometheus import Prometheus
from tests.monitoring import DASHBOARDS, FOLDER, RULES, alerts, board, panels, queries, selectors

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SCALING = ROOT / "deploy/k8s/components/queue-hpa"
COMPOSE = ROOT / "deploy/docker/prometheus.yml"
KUBERNETES = FOLDER / "prometheus/prometheus.yml"
PROGRAMS = {"auth", "catalog", "recommender", "worker", "rabbitmq"}
DRAWN = {"timeseries", "stat", "heatmap", "table"}
"""Kinds of panels that Grafana has without plugins, and that ask something."""
GRAFANA_SCHEMA = 41

by_name = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def promtool(*words: str | Path, cwd: Path | None = None) -> str:
    """What it says. Fails when it finds something wrong."""
    done = subprocess.run(  # noqa: S603 - a list, no shell
        [program("promtool"), *words], capture_output=True, text=True, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_are_well_formed() -> None:
    said = promtool("check", "rules", "--lint-fatal", *RULES)
    assert said.count("SUCCESS") == len(RULES) == 3


def test_rules_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", *sorted((FOLDER / "rules/tests").glob("*.yaml")))


def test_every_alert_is_seen_to_fire() -> None:
    text = "".join(path.read_text() for path in (FOLDER / "rules/tests").glob("*.yaml"))
    fired = set(re.findall(r'labels: .*alertname="(\w+)"', text))
    assert fired == {alert["alert"] for alert in alerts()}


def test_every_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    headings = re.findall(r"^## (.+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    found = list(alerts())
    assert len({alert["alert"] for alert in found}) == len(found)
    for alert in found:
        assert alert["alert"].startswith("Recmesh")
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
        page, anchor = alert["annotations"]["runbook_url"].split("#")
        assert page == "docs/operations.md"
        assert anchor in anchors, alert["alert"]


def test_every_alert_is_told_of() -> None:
    page = (DOCS / "telemetry.md").read_text()
    told = set(re.findall(r"`(Recmesh\w+)`", page))
    assert told == {alert["alert"] for alert in alerts()}


def test_metrics_are_those_of_the_page() -> None:
    page = (DOCS / "telemetry.md").read_text()
    asked = [query.expression for path in DASHBOARDS for query in queries(path)]
    asked += [alert["expr"] for alert in alerts()]
    names = {name for expression in asked for name, _ in selectors(expression)}
    own = {re.sub("_(count|sum|bucket)$", "", name) for name in names if name.startswith("recmesh")}
    assert own
    assert {name for name in own if f"`{name}`" not in page} == set()
    # And none is taken for nothing.
    taken = set(re.findall(r"^\| `(recmesh_\w+)`", page, re.MULTILINE))
    assert taken - own == set()


@by_name
def test_dashboards_are_of_panels_that_do_not_overlap(path: Path) -> None:
    found = board(path)
    assert found["schemaVersion"] == GRAFANA_SCHEMA
    assert found["uid"] == f"recmesh-{path.stem}"
    assert found["tags"] == ["recmesh"]
    everything = list(panels(path))
    assert len({panel["id"] for panel in everything}) == len(everything)
    places = [panel["gridPos"] for panel in everything]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"],
            one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"],
        )
        assert any(apart), (one, other)
    order = [(place["y"], place["x"]) for place in places]
    assert all(one < other for one, other in pairwise(order))


@by_name
def test_dashboards_say_what_they_show(path: Path) -> None:
    found = board(path)
    variables = {one["name"] for one in found["templating"]["list"]}
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(path):
        assert panel["title"]
        if panel["type"] in ("row", "text"):
            continue
        assert panel["type"] in DRAWN
        assert panel["description"].endswith((".", "?")), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"][0]["value"] is None
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == source
            used = set(re.findall(r"\$\{?(\w+)", target["expr"]))
            assert used <= variables | {"__rate_interval", "__range"}
            # On one level lines need names.
            assert target["legendFormat"] or panel["type"] in ("stat", "table")


def test_scaling_is_drawn_as_the_autoscaler_sees_it() -> None:
    (rule,) = yaml.safe_load((SCALING / "rules.yaml").read_text())["externalRules"]
    asked = " ".join(rule["metricsQuery"].replace(",<<.LabelMatchers>>", "").split())
    scaler = yaml.safe_load((SCALING / "hpa.yaml").read_text())
    target = scaler["spec"]["metrics"][0]["external"]["target"]["averageValue"]
    wanted = f"({asked}) / {int(target.removesuffix('m')) / 1000:g}"
    drawn = [query.expression for path in DASHBOARDS for query in queries(path)]
    assert wanted in drawn


def test_what_is_shipped_is_also_put_in() -> None:
    component = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = {FOLDER / name for made in component["configMapGenerator"] for name in made["files"]}
    assert {*RULES, *DASHBOARDS} <= files
    mounted = (FOLDER / "prometheus/stateful-set.yaml").read_text()
    assert [path for path in RULES if f"rules/{path.name}" not in mounted] == []


def test_configurations_are_valid(tmp_path: Path) -> None:
    (tmp_path / "rules").symlink_to(FOLDER / "rules")
    for name, text in (("compose", COMPOSE.read_text()), ("kubernetes", json.dumps(of_pods([])))):
        file = tmp_path / f"{name}.yml"
        file.write_text(text)
        assert f"SUCCESS: {len(RULES)} rule files found" in promtool("check", "config", file)


def test_programs_are_the_same_to_all_of_them(tmp_path: Path) -> None:
    local = Prometheus(tmp_path, 1, 15, [], tmp_path / "log").configuration()
    compose, kubernetes = (yaml.safe_load(p.read_text()) for p in (COMPOSE, KUBERNETES))
    jobs = {job["job_name"]: job for job in compose["scrape_configs"]}
    assert set(jobs) == PROGRAMS | {"rabbitmq-queues"}
    asked = [
        (job["job_name"], job["metrics_path"], job["params"])
        for found in (local, compose, kubernetes)
        for job in found["scrape_configs"]
        if "metrics_path" in job
    ]
    assert len(asked) == 3
    assert asked[0] == asked[1] == asked[2]


def of_pods(pods: list[dict[str, str]]) -> dict[str, Any]:
    """The configuration for Kubernetes, with pods that are told instead of found: Debian's Prometheus has no discovery
    in Kubernetes."""
    found: dict[str, Any] = yaml.safe_load(KUBERNETES.read_text())
    for job in found["scrape_configs"]:
        (discovery,) = job.pop("kubernetes_sd_configs")
        assert discovery == {"role": "pod", "namespaces": {"own_namespace": True}}
        job["static_configs"] = [
            {
                "targets": ["10.0.0.1:9464"],
                "labels": {f"__meta_kubernetes_pod_{k}": v for k, v in pod.items()},
            }
            for pod in pods
        ]
    return found


def pod(name: str, program: str, port: str = "metrics", **other: str) -> dict[str, str]:
    """What Kubernetes tells of the port of a pod."""
    label = "label_app_kubernetes_io"
    return {
        "name": name,
        f"{label}_name": program,
        f"{label}_part_of": "recmesh",
        "container_port_name": port,
        "phase": "Running",
        **other,
    }


def test_pods_are_found_by_their_port(tmp_path: Path) -> None:
    pods = [
        pod("worker-abc-1", "worker"),
        pod("worker-abc-1", "worker", port="grpc"),
        pod("worker-abc-2", "worker", phase="Failed"),
        pod("rabbitmq-0", "rabbitmq"),
        pod("else-1", "else", label_app_kubernetes_io_part_of="something"),
    ]
    (tmp_path / "rules").symlink_to(FOLDER / "rules")
    file = tmp_path / "kubernetes.yml"
    file.write_text(json.dumps(of_pods(pods)))

    def found(job: str) -> list[tuple[str, str]]:
        told: list[Any] = []
        # It always takes that long, and on a slow machine finds nothing in it.
        for milliseconds in (250, 1000, 4000, 16000, 64000):
            limit = f"--timeout={milliseconds}ms"
            said = promtool("check", "service-discovery", limit, file, job)
            if told := json.loads(said) or []:
                break
        kept = [one["labels"] for one in told if one.get("labels")]
        return sorted((one["job"], one["instance"]) for one in kept)

    assert found("mesh") == [("rabbitmq", "rabbitmq-0"), ("worker", "worker-abc-1")]
    assert found("rabbitmq-queues") == [("rabbitmq-queues", "rabbitmq-0")]
