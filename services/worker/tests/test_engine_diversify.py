import numpy as np
import pytest

from recmesh_worker.engine.candidates import Segment
from recmesh_worker.engine.diversify import Candidate, diversify
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Diversity, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel
from services.worker.tests.engine_items import D, ask, film, names, toward


@pytest.fixture(scope="module")
def memory() -> CatalogMemory:
    memory = CatalogMemory("films", D)
    memory.apply(
        [
            film(f"i{n}", n + 1, n % 5, vector=toward(n % 5, noise=n), release_year=None)
            for n in range(200)
        ]
    )
    return memory


def distance(rows: list[int], memory: CatalogMemory) -> float:
    """The intra-list distance."""
    vectors = memory.centred(np.array(rows))
    cosines = vectors @ vectors.T
    return float(1 - (cosines.sum() - len(rows)) / (len(rows) * (len(rows) - 1)))


def candidates(count: int) -> list[Candidate]:
    return [Candidate(row, 0.9 - row / 400, popular=False) for row in range(count)]


def segment(some: list[Candidate]) -> Segment:
    rows = np.array([candidate.row for candidate in some], np.int64)
    return Segment(rows, np.array([candidate.score for candidate in some], np.float64))


def test_each_level_is_more_varied_than_the_one_below(memory: CatalogMemory) -> None:
    ranker = Ranker(ContentModel(), PopularityModel(), ["en"])
    distances = []
    for level in Diversity:
        answer = ask(ranker, memory, SeedKind.ITEM, "i0", diversity=level)
        assert len(set(names(answer))) == 10
        distances.append(distance(memory.rows_of(names(answer)), memory))
    none, low, medium, high = distances
    assert none <= low + 1e-3
    assert low <= medium + 1e-3
    assert medium <= high + 1e-3
    assert none + 0.1 < high


def test_without_diversity_the_score_decides(memory: CatalogMemory) -> None:
    assert diversify([segment(candidates(9))], 4, Diversity.NONE, memory) == candidates(4)


@pytest.mark.parametrize("level", [Diversity.LOW, Diversity.MEDIUM, Diversity.HIGH])
def test_scores_stay_and_the_best_comes_first(memory: CatalogMemory, level: Diversity) -> None:
    chosen = diversify([segment(candidates(60))], 20, level, memory)
    assert chosen[0] == candidates(1)[0]
    assert len(set(chosen)) == 20
    assert set(chosen) <= set(candidates(60))


def test_a_double_comes_last(memory: CatalogMemory) -> None:
    same = [Candidate(0, 0.9, popular=False), Candidate(0, 0.89, popular=False)]
    other = [Candidate(row, 0.7, popular=False) for row in (1, 2)]
    assert diversify([segment(same + other)], 4, Diversity.HIGH, memory)[-1] == same[1]


def test_a_later_segment_only_fills_up(memory: CatalogMemory) -> None:
    first, second = candidates(3), candidates(60)[3:]
    chosen = diversify([segment(first), segment([]), segment(second)], 10, Diversity.HIGH, memory)
    assert set(chosen[:3]) == set(first)
    assert len(chosen) == 10
    assert diversify([segment([]), segment([])], 10, Diversity.HIGH, memory) == []
