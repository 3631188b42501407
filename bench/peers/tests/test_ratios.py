"""The ratios that are promised, and what counts as the right answer."""

from pathlib import Path

import numpy as np
import pytest

from bench.harness.data import Data
from bench.harness.processes import BrokenSystem
from bench.peers.ratios import Throughput, best, promises
from bench.peers.sanity import judged, nearest

PEERS = ("celery", "one")


def ratios(throughput: Throughput) -> dict[str, tuple[float, bool]]:
    promised = promises(throughput, ours="mesh", floor="floor", one_at_a_time="one", peers=PEERS)
    return {one.name: (one.spread.median, one.holds) for one in promised}


def test_ratios_are_medians_of_the_rounds() -> None:
    found = ratios(
        {
            "mesh": [80.0, 90.0, 10.0],
            "floor": [100.0, 100.0, 20.0],
            "celery": [40.0, 30.0, 10.0],
            "one": [10.0, 10.0, 10.0],
        }
    )
    assert found == {
        "ratio_to_floor": (0.8, True),
        "ratio_to_best_peer": (2.0, True),
        "ratio_to_one_at_a_time": (8.0, True),
    }


def test_a_ratio_that_is_too_low_does_not_hold() -> None:
    found = ratios({"mesh": [7.0], "floor": [10.0], "celery": [4.0], "one": [2.0]})
    assert [holds for _, holds in found.values()] == [False, False, False]


def test_the_best_peer_may_be_the_one_at_a_time() -> None:
    assert best({"celery": [1.0, 5.0, 2.0], "one": [3.0, 3.0, 1.0]}, PEERS) == "one"


def test_a_wrong_answer_breaks_the_run(tmp_path: Path) -> None:
    angles = np.linspace(0, 1, 20, dtype=np.float32)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ids = tuple(str(number) for number in range(20))
    expected = nearest(Data(tmp_path, ids, ids, vectors), "0")
    assert expected == [str(number) for number in range(1, 11)]
    judged("peer", "0", expected, expected)
    with pytest.raises(BrokenSystem, match="peer"):
        judged("peer", "0", expected[::-1], expected)
