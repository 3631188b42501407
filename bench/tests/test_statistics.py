"""Of the figures that benchmarks give."""

import math

import pytest

from bench.harness.promises import Promise, figures
from bench.harness.statistics import Spread, quantile, ratios


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [
        ([1.0], 0.5, 1.0),
        ([1.0], 0.99, 1.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.5, 50.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 101)], 1.0, 100.0),
    ],
)
def test_quantile_is_the_smallest_sample_that_enough_others_do_not_exceed(
    samples: list[float], share: float, expected: float
) -> None:
    assert quantile(samples, share) == expected


def test_quantile_of_nothing_is_no_number() -> None:
    assert math.isnan(quantile([], 0.5))


def test_a_round_that_was_disturbed_as_a_whole_leaves_the_ratio_alone() -> None:
    ours, theirs = [75.0, 7.5, 80.0], [100.0, 10.0, 100.0]

    assert ratios(ours, theirs) == Spread(0.75, 0.75, 0.8)


def test_ratios_need_the_same_rounds() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("figure", "at_least", "holds"),
    [(0.75, True, True), (0.74, True, False), (0.75, False, True), (0.76, False, False)],
)
def test_a_promise_holds_up_to_its_limit(figure: float, at_least: bool, holds: bool) -> None:
    promise = Promise("it", Spread(figure, 0.0, 9.0), 0.75, at_least=at_least)

    assert promise.holds is holds


def test_a_figure_that_is_no_number_breaks_its_promise_and_is_named() -> None:
    nothing = Promise("it", Spread(math.nan, math.nan, math.nan), 1.0, at_least=False)
    kept = Promise("that", Spread(1.0, 1.0, 1.0), 1.0, at_least=False)

    found = figures([nothing, kept])

    assert found["short"] == ["it"]
    assert found["holds"] is False
