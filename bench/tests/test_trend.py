"""What counts as growth."""

import math
import random

import pytest

from bench.harness.trend import floor, grew, slope

RUN = 900.0
"""Seconds: what a slope is drawn out over."""
TIMES = [450 + 3.75 * n for n in range(120)]


def chance() -> random.Random:
    return random.Random(5)  # noqa: S311 - the same noise each time


def test_slope_is_that_of_least_squares() -> None:
    # By hand: means 2.5 and 6, sums of squares 5 and 7.
    found = slope([1, 2, 3, 4], [4, 6, 6, 8])

    assert found.level == 6
    assert found.per_second == pytest.approx(1.2)
    assert found.error == pytest.approx(math.sqrt(0.8 / 2 / 5))


@pytest.mark.parametrize("times", [[], [1.0, 2.0], [3.0, 3.0, 3.0]])
def test_a_slope_needs_three_points_at_different_times(times: list[float]) -> None:
    with pytest.raises(ValueError, match="three points"):
        slope(times, [1.0] * len(times))


def test_of_each_stretch_the_least_counts_and_a_gap_is_left_out() -> None:
    times = [0.0, 1.0, 2.0, 4.0, 5.0, 15.0, 16.0]

    found = floor(times, [5.0, 4.0, 7.0, 9.0, 8.0, 3.0, 6.0], stretches=4)

    assert found == ([1.0, 5.0, 15.0], [4.0, 8.0, 3.0])


@pytest.mark.parametrize("held", [90.0, 450.0])
def test_noise_is_no_leak(held: float) -> None:
    noise = chance()

    found = slope(*floor(TIMES, [held + noise.gauss(0, 3) for _ in TIMES]))

    assert not found.leaks(RUN)


def test_what_fills_and_empties_is_no_leak() -> None:
    saw = [200 + 40 * (time / 70 % 1) for time in TIMES]

    assert not slope(*floor(TIMES, saw)).leaks(RUN)


@pytest.mark.parametrize(("held", "mb_a_minute"), [(90.0, 0.7), (450.0, 3.0)])
def test_a_leak_is_found_through_noise_and_through_what_fills_and_empties(
    held: float, mb_a_minute: float
) -> None:
    noise = chance()
    leak = [
        held + mb_a_minute / 60 * time + 20 * (time / 20 % 1) + noise.gauss(0, 1) for time in TIMES
    ]

    assert slope(*floor(TIMES, leak)).leaks(RUN)


def test_growth_too_small_to_matter_is_no_leak() -> None:
    assert not slope(TIMES, [90 + time / RUN for time in TIMES]).leaks(RUN)


@pytest.mark.parametrize(
    ("counts", "before", "after", "expected"),
    [
        # Steadily more, and it stays.
        ([10, 12, 14, 16, 18, 20], 10, 20, True),
        # More at work, none of it left.
        ([10, 12, 14, 16, 18, 20], 10, 10, False),
        # A pool that was not full before.
        ([20, 20, 21, 20, 20, 21], 10, 20, False),
        # Up and down, and by chance up at the end.
        ([10, 30, 10, 30, 10, 30], 10, 30, False),
        # Two more may be chance, and so may one in twenty.
        ([10, 10, 11, 11, 12, 12], 10, 12, False),
        ([1000, 1000, 1000, 1040, 1040, 1040], 1000, 1040, False),
        # Nothing was seen.
        ([], 10, 20, False),
    ],
)
def test_counts_grow_when_they_do_so_at_work_and_at_rest(
    counts: list[float], before: float, after: float, expected: bool
) -> None:
    assert grew(counts, before=before, after=after) is expected
