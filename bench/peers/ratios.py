"""What is promised of the mesh beside the others, as ratios of jobs per second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from bench.harness.promises import Promise
from bench.harness.statistics import ratios

LEAST = {"ratio_to_floor": 0.75, "ratio_to_best_peer": 2.0, "ratio_to_one_at_a_time": 5.0}
"""Ratio to what its median over the rounds must reach."""
Throughput = Mapping[str, Sequence[float]]
"""System to jobs per second, by rounds."""


def best(throughput: Throughput, peers: Sequence[str]) -> str:
    """The peer with the highest median."""
    return max(peers, key=lambda name: median(throughput[name]))


def promises(
    throughput: Throughput, *, ours: str, floor: str, one_at_a_time: str, peers: Sequence[str]
) -> list[Promise]:
    """The ratios of `LEAST`: the mesh's throughput, divided by that of others in the same rounds.

    Args:
        throughput: Of all of them.
        ours: The mesh.
        floor: The same by hand.
        one_at_a_time: The peer whose worker takes one message at a time.
        peers: All of the peers, it too.
    """
    others = (floor, best(throughput, peers), one_at_a_time)
    return [
        Promise(name, ratios(throughput[ours], throughput[other]), least, at_least=True)
        for (name, least), other in zip(LEAST.items(), others, strict=True)
    ]
