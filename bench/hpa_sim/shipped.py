"""The numbers of the manifests (deploy/k8s/components/queue-hpa), so that what is simulated is what is shipped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.hpa_sim.formula import Policy, Rules, Shape
from localmesh.paths import checkout

FOLDER = checkout() / "deploy/k8s/components/queue-hpa"
METRIC = "recmesh_worker_demand"
_MATCHERS = "<<.LabelMatchers>>"
_NUMBER = r"(\d+(?:\.\d+)?)"


@dataclass(frozen=True, slots=True)
class Demand:
    """The numbers of the metric: of how many workers there is work for.

    Attributes:
        in_hand: Whether what the workers take of the processor counts. (The shipped metric says so; some that it is
            compared with do not.)
        window: Seconds over which that is measured.
        unseen: As what a worker counts that takes jobs and is not measured.
        interactive: Unfinished jobs that somebody waits for that are one worker more.
        bulk: Unfinished bulk jobs that are one worker more.
        changes: Messages of changes that are one worker more.
    """

    in_hand: bool
    window: float
    unseen: float
    interactive: float
    bulk: float
    changes: float


def shape(folder: Path = FOLDER) -> Shape:
    """What the worker's HorizontalPodAutoscaler says."""
    spec = yaml.safe_load((folder / "hpa.yaml").read_text())["spec"]
    [metric] = spec["metrics"]
    assert metric["external"]["metric"]["name"] == METRIC
    assert metric["external"]["target"]["type"] == "AverageValue"
    behaviour = spec["behavior"]
    return Shape(
        target=quantity(metric["external"]["target"]["averageValue"]),
        least=spec["minReplicas"],
        most=spec["maxReplicas"],
        up=_rules(behaviour["scaleUp"]),
        down=_rules(behaviour["scaleDown"]),
    )


def query(folder: Path = FOLDER, matchers: str = "") -> str:
    """The PromQL that the adapter sends.

    Args:
        folder: Of the manifests.
        matchers: Of the HPA's `metric.selector`; the shipped one has none.
    """
    [rule] = yaml.safe_load((folder / "rules.yaml").read_text())["externalRules"]
    assert rule["name"]["as"] == METRIC
    text: str = rule["metricsQuery"].replace(_MATCHERS, matchers)
    assert "<<" not in text
    return text


def demand(folder: Path = FOLDER) -> Demand:
    """The numbers of that query."""
    text = " ".join(query(folder).split())
    return Demand(
        in_hand="sum(rate(process_cpu_seconds_total" in text,
        window=60 * _one(r"process_cpu_seconds_total\{[^}]*\}\[" + _NUMBER + r"m\]", text),
        unseen=_one(_NUMBER + r" \* clamp_min\(", text),
        interactive=_one(r'lane="interactive"[^}]*\}\) / ' + _NUMBER, text),
        bulk=_one(r'lane="bulk"[^}]*\}\) / ' + _NUMBER, text),
        changes=_one(r"\) / " + _NUMBER + "$", text),
    )


def quantity(text: str) -> float:
    """A number as Kubernetes writes it, of those with `m` (thousandths) or without."""
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _rules(said: Mapping[str, Any]) -> Rules:
    policies = [
        Policy(kind=one["type"], value=one["value"], seconds=one["periodSeconds"])
        for one in said["policies"]
    ]
    return Rules(said["stabilizationWindowSeconds"], policies, said["selectPolicy"])


def _one(pattern: str, text: str) -> float:
    found = set(re.findall(pattern, text))
    if len(found) != 1:
        msg = f"{pattern} is there {len(found)} times in {text}"
        raise ValueError(msg)
    return float(found.pop())
