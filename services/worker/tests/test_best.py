import numpy as np
import pytest

from recmesh_worker.models.best import Best

B, N, K = 5, 1_000, 12


@pytest.mark.parametrize("size", [1, 7, 130, N])
@pytest.mark.parametrize("share", [0.005, 0.3, 1.0])
@pytest.mark.parametrize("falling", [True, False])
def test_blocks_are_what_a_full_sort_says(size: int, share: float, falling: bool) -> None:
    rng = np.random.default_rng(3)
    scores = rng.uniform(-1, 1, (B, N)).astype(np.float32)
    # All of the best in the first block, or better ones in each.
    scores = np.sort(scores, axis=1)[:, ::-1] if falling else np.sort(scores, axis=1)
    mask = rng.random((B, N)) < share
    best = Best(B, K)
    for first in range(0, N, size):
        end = first + size
        best.offer(first, scores[:, first:end].copy(), mask[:, first:end])
    ids, found = best.found()
    full = np.where(mask, scores, -np.inf)
    wanted = np.argsort(-full, axis=1, kind="stable")[:, :K]
    none = np.isneginf(np.take_along_axis(full, wanted, axis=1))
    np.testing.assert_array_equal(ids, np.where(none, -1, wanted))
    np.testing.assert_array_equal(found, np.take_along_axis(full, wanted, axis=1))


def test_one_mask_for_all_and_none_that_are_kept() -> None:
    best = Best(2, 1)
    best.offer(0, np.array([[0.1, 0.9], [0.8, 0.2]], np.float32), np.array([True, False]))
    assert best.found()[0].tolist() == [[0], [0]]
    nothing = Best(2, 0)
    nothing.offer(0, np.ones((2, 2), np.float32), np.ones(2, np.bool_))
    assert nothing.found()[0].shape == (2, 0)


def test_what_is_no_number_does_not_count() -> None:
    best = Best(1, 2)
    best.offer(0, np.array([[np.nan, 0.5, np.nan]], np.float32), np.array([True, True, False]))
    best.offer(3, np.array([[np.nan]], np.float32), np.ones(1, np.bool_))
    assert best.found()[0].max() <= 1
