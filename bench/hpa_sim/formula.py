"""How a HorizontalPodAutoscaler decides, as it is published: "Algorithm details" and "Configurable scaling behavior" of
https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/; where that leaves something open,
as the controller does (k8s.io/kubernetes/pkg/controller/podautoscaler: `horizontal.go`, `replica_calculator.go`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

TOLERANCE = 0.1
"""How far off the target the metric may be before anything is done: a setting of the cluster, with this default."""
SYNC_SECONDS = 15.0
"""Between two decisions: likewise."""


@dataclass(frozen=True, slots=True)
class Policy:
    """At most so much a period.

    Attributes:
        kind: Whether `value` is pods or percent of those at the period's start.
        value: How many.
        seconds: The period.
    """

    kind: Literal["Pods", "Percent"]
    value: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one direction.

    Attributes:
        window: Seconds whose recommendations are looked at: up goes to the least of them, down to the greatest.
        policies: How fast.
        select: Whether the policy that allows most counts, the one that allows least, or nothing is done.
    """

    window: float
    policies: Sequence[Policy]
    select: Literal["Max", "Min", "Disabled"] = "Max"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a HorizontalPodAutoscaler says.

    Attributes:
        target: `averageValue`, of a pod.
        least: `minReplicas`.
        most: `maxReplicas`.
        up: `behavior.scaleUp`.
        down: `behavior.scaleDown`.
    """

    target: float
    least: int
    most: int
    up: Rules
    down: Rules


def by_ratio(current: int, metric: float, target: float) -> int:
    """Replicas for a metric of each pod, or of something else as a whole (`Value`):
    `ceil(current * metric / target)`, within the tolerance those that there are."""
    ratio = metric / target
    return current if abs(ratio - 1) <= TOLERANCE else _ceil(current * ratio)


def by_average(current: int, metric: float, target: float) -> int:
    """Replicas for an external metric with an `AverageValue`: `ceil(metric / target)`. The metric is of all pods
    together, so that pods that are not ready yet change nothing; those that there are count for the tolerance alone."""
    if current and abs(metric / (target * current) - 1) <= TOLERANCE:
        return current
    return _ceil(metric / target)


class Autoscaler:
    """One HorizontalPodAutoscaler and what it remembers.

    Args:
        shape: What it says.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._recommended: list[tuple[float, int]] = []
        self._added: list[tuple[float, int]] = []
        self._removed: list[tuple[float, int]] = []

    def sync(self, now: float, current: int, metric: float | None) -> int:
        """One decision: how many replicas there are to be.

        Args:
            now: Seconds, from anywhere; grows.
            current: Replicas that there are to be so far.
            metric: Of all pods together; None when there is none: nothing is done.
        """
        shape = self._shape
        if current > shape.most or current < shape.least:
            # Of the bounds themselves, without a look at the metric.
            wanted = min(max(current, shape.least), shape.most)
        elif metric is None:
            return current
        else:
            wanted = by_average(current, metric, shape.target)
            wanted = self._limited(now, current, self._stabilised(now, current, wanted))
        self._remember(now, wanted - current)
        return wanted

    def _stabilised(self, now: float, current: int, wanted: int) -> int:
        up = _within(self._recommended, now, self._shape.up.window)
        down = _within(self._recommended, now, self._shape.down.window)
        self._recommended = [
            one
            for one in self._recommended
            if one[0] > now - max(self._shape.up.window, self._shape.down.window)
        ]
        self._recommended.append((now, wanted))
        return min(max(current, min((*up, wanted))), max((*down, wanted)))

    def _limited(self, now: float, current: int, wanted: int) -> int:
        shape = self._shape
        if wanted > current:
            return min(wanted, shape.most, max(current, self._highest(now, current)))
        if wanted < current:
            return max(wanted, shape.least, min(current, self._lowest(now, current)))
        return wanted

    def _highest(self, now: float, current: int) -> int:
        rules = self._shape.up
        if rules.select == "Disabled":
            return current
        allowed = []
        for policy in rules.policies:
            began = self._before(now, current, policy.seconds)
            more = policy.value if policy.kind == "Pods" else began * policy.value / 100
            allowed.append(_ceil(began + more))
        return max(allowed) if rules.select == "Max" else min(allowed)

    def _lowest(self, now: float, current: int) -> int:
        rules = self._shape.down
        if rules.select == "Disabled":
            return current
        allowed = []
        for policy in rules.policies:
            began = self._before(now, current, policy.seconds)
            fewer = policy.value if policy.kind == "Pods" else began * policy.value / 100
            allowed.append(int(began - fewer))
        return min(allowed) if rules.select == "Max" else max(allowed)

    def _before(self, now: float, current: int, seconds: float) -> int:
        """Replicas at the start of a period that ends now."""
        added, removed = (_within(one, now, seconds) for one in (self._added, self._removed))
        return current - sum(added) + sum(removed)

    def _remember(self, now: float, change: int) -> None:
        if change > 0:
            self._added.append((now, change))
        elif change < 0:
            self._removed.append((now, -change))


def _within(told: Iterable[tuple[float, int]], now: float, seconds: float) -> list[int]:
    return [value for at, value in told if at > now - seconds]


def _ceil(value: float) -> int:
    # The controller counts in thousandths: what is beyond is an error of floating point.
    return math.ceil(round(value, 6))
