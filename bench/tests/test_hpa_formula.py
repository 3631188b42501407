"""The autoscaler against what Kubernetes's documentation says of it."""

from __future__ import annotations

import pytest

from bench.hpa_sim import shipped
from bench.hpa_sim.formula import Autoscaler, Policy, Rules, Shape, by_average, by_ratio

FREE = Rules(window=0, policies=[Policy("Percent", 1_000_000, 15), Policy("Pods", 1_000_000, 15)])


def autoscaler(
    up: Rules = FREE, down: Rules = FREE, least: int = 1, most: int = 1000
) -> Autoscaler:
    return Autoscaler(Shape(target=1.0, least=least, most=most, up=up, down=down))


@pytest.mark.parametrize(
    ("current", "metric", "target", "wanted"),
    [
        # "If the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled".
        (3, 0.2, 0.1, 6),
        # "If the current value is instead 50m, you'll halve the number of replicas".
        (4, 0.05, 0.1, 2),
        # "skips any scaling action if the ratio is sufficiently close to 1.0 (… 0.1 by default)".
        (5, 0.109, 0.1, 5),
        (5, 0.091, 0.1, 5),
        (5, 0.112, 0.1, 6),
        (5, 0.07, 0.1, 4),
    ],
)
def test_the_ratio_of_metric_and_target(
    current: int, metric: float, target: float, wanted: int
) -> None:
    assert by_ratio(current, metric, target) == wanted


@pytest.mark.parametrize(
    ("current", "metric", "wanted"),
    [(2, 7.0, 10), (10, 7.0, 10), (2, 1.5, 2), (9, 0.0, 0), (0, 0.1, 1)],
)
def test_an_average_value_is_of_all_pods_together(current: int, metric: float, wanted: int) -> None:
    assert by_average(current, metric, 0.7) == wanted


def test_bounds_hold_whatever_the_metric_says() -> None:
    hpa = autoscaler(least=2, most=10)
    assert hpa.sync(0, 4, 99.0) == 10
    assert hpa.sync(15, 10, 0.0) == 2
    assert hpa.sync(30, 1, None) == 2
    assert hpa.sync(45, 12, None) == 10


def test_without_a_metric_nothing_is_done() -> None:
    assert autoscaler().sync(0, 7, None) == 7


def test_percent_and_pods_up_the_most_counts() -> None:
    """The documentation's default: double, or four more, every 15 seconds, whichever is higher."""
    rules = Rules(window=0, policies=[Policy("Percent", 100, 15), Policy("Pods", 4, 15)])
    hpa, replicas, seen = autoscaler(up=rules), 1, []
    for sync in range(5):
        replicas = hpa.sync(15.0 * sync, replicas, 1000.0)
        seen.append(replicas)
    assert seen == [5, 10, 20, 40, 80]


def test_ten_percent_down_a_minute() -> None:
    """The documentation's example of two policies: of 80 replicas 8 go, of 72 again 8 (7.2 rounded up), and below 40
    the four pods of the other policy."""
    rules = Rules(window=0, policies=[Policy("Pods", 4, 60), Policy("Percent", 10, 60)])
    hpa, replicas, seen = autoscaler(down=rules), 80, []
    for minute in range(12):
        replicas = hpa.sync(60.0 * minute, replicas, 10.0)
        seen.append(replicas)
    assert seen == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16]


def test_policies_count_what_was_done_within_the_period() -> None:
    rules = Rules(window=0, policies=[Policy("Pods", 5, 60)])
    hpa = autoscaler(down=rules)
    assert hpa.sync(0, 80, 10.0) == 75
    assert hpa.sync(15, 75, 10.0) == 75
    assert hpa.sync(45, 75, 10.0) == 75
    assert hpa.sync(60, 75, 10.0) == 70


def test_the_least_policy_and_none_at_all() -> None:
    policies = [Policy("Percent", 10, 60), Policy("Pods", 5, 60)]
    assert autoscaler(down=Rules(0, policies, "Min")).sync(0, 80, 10.0) == 75
    assert autoscaler(down=Rules(0, policies, "Max")).sync(0, 80, 10.0) == 72
    assert autoscaler(down=Rules(0, policies, "Disabled")).sync(0, 80, 10.0) == 80


def test_down_to_the_most_of_the_window() -> None:
    """ "all desired states from the past 5 minutes will be considered" and the highest is taken."""
    hpa = autoscaler(down=Rules(300, FREE.policies))
    assert hpa.sync(0, 10, 10.0) == 10
    assert hpa.sync(100, 10, 6.0) == 10
    assert hpa.sync(299, 10, 2.0) == 10
    assert hpa.sync(301, 10, 2.0) == 6
    assert hpa.sync(401, 6, 2.0) == 2


def test_up_to_the_least_of_the_window() -> None:
    hpa = autoscaler(up=Rules(60, FREE.policies))
    assert hpa.sync(0, 2, 2.0) == 2
    assert hpa.sync(15, 2, 9.0) == 2
    assert hpa.sync(61, 2, 5.0) == 5


def test_what_is_shipped_is_read_from_the_manifests() -> None:
    shape, demand = shipped.shape(), shipped.demand()
    assert 1 <= shape.least < shape.most
    assert shape.up.policies
    assert shape.down.policies
    assert demand.in_hand
    # A worker that is not measured is to change nothing.
    assert demand.unseen == shape.target
    assert demand.interactive < demand.bulk


@pytest.mark.parametrize(("text", "value"), [("700m", 0.7), ("2", 2.0), ("1500m", 1.5)])
def test_quantities(text: str, value: float) -> None:
    assert shipped.quantity(text) == value
