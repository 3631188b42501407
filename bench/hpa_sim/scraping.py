"""What Prometheus knows: figures as they were at the last scrape, and rates over those of a window."""

from __future__ import annotations

from collections.abc import Sequence

Sample = tuple[float, float]
"""Second, value."""
_NEAR = 1.1
"""Times the mean distance of samples: a window's edge that is no further off is reached by extrapolation."""


def rate(samples: Sequence[Sample], now: float, window: float) -> float | None:
    """PromQL's `rate` of a counter that was not reset, at `now`; None with fewer than two samples
    (https://github.com/prometheus/prometheus, `extrapolatedRate` of `promql/functions.go`)."""
    found = [one for one in samples if now - window < one[0] <= now]
    if len(found) < 2:
        return None
    (first, least), (last, most) = found[0], found[-1]
    sampled, increase = last - first, most - least
    apart = sampled / (len(found) - 1)
    before, after = first - (now - window), now - last
    if before >= _NEAR * apart:
        before = apart / 2
    if after >= _NEAR * apart:
        after = apart / 2
    if increase > 0 and least >= 0:
        # A counter is not extrapolated to below nothing.
        before = min(before, sampled * least / increase)
    return increase * (sampled + before + after) / sampled / window
