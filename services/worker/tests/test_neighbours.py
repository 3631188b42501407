from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.neighbours import REACH, Neighbours
from recmesh_worker.engine.query import Answer, Diversity, EngineQuery, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.models.base import Batch, Ids, Mask, Scores
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel
from services.worker.tests.engine_items import SPACE, D, ask, film, names, toward


class CountingModel(ContentModel):
    """Says how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def top_k(self, batch: Batch, k: int, mask: Mask) -> tuple[Ids, Scores]:
        self.asked += 1
        return super().top_k(batch, k, mask)


@pytest.fixture
def memory() -> CatalogMemory:
    memory = CatalogMemory("films", D)
    memory.apply([film(f"f{n}", n + 1, n % 7) for n in range(300)])
    return memory


@pytest.fixture
def model() -> CountingModel:
    return CountingModel()


@pytest.fixture
def ranker(model: CountingModel) -> Ranker:
    return Ranker(model, PopularityModel(), ["en"])


def about(ranker: Ranker, memory: CatalogMemory, **fields: object) -> Answer:
    return ask(ranker, memory, SeedKind.ITEM, "f0", **fields)


def test_an_item_asked_about_again_is_answered_without_a_search(
    ranker: Ranker, memory: CatalogMemory, model: CountingModel
) -> None:
    first = about(ranker, memory)
    assert about(ranker, memory) == first
    assert model.asked == 1


def test_what_may_not_be_answered_is_left_out_of_what_is_kept(
    ranker: Ranker, memory: CatalogMemory, model: CountingModel
) -> None:
    shown = names(about(ranker, memory))
    excluded = frozenset(shown[::2])
    from_kept = about(ranker, memory, exclude=excluded)
    assert model.asked == 1
    memory.neighbours.forget()
    assert about(ranker, memory, exclude=excluded) == from_kept
    assert not excluded & set(names(from_kept))
    assert len(from_kept.results) == 10


def test_more_than_is_kept_is_searched_for(
    ranker: Ranker, memory: CatalogMemory, model: CountingModel
) -> None:
    first = about(ranker, memory)
    assert len(about(ranker, memory, limit=REACH).results) == REACH
    many = frozenset(names(about(ranker, memory, limit=REACH)))
    assert not many & set(names(about(ranker, memory, exclude=many)))
    assert about(ranker, memory) == first
    assert model.asked == 4


def test_what_changed_is_seen_at_once(ranker: Ranker, memory: CatalogMemory) -> None:
    best = names(about(ranker, memory))[0]
    memory.apply([film(best, 400, SPACE, hidden=True, revision=2)])
    assert best not in names(about(ranker, memory))
    memory.apply([film("twin", 401, SPACE, vector=toward(0, noise=1))])
    assert names(about(ranker, memory))[0] == "twin"


def test_at_a_glance_only_what_is_kept_is_answered_and_the_same(
    ranker: Ranker, memory: CatalogMemory, model: CountingModel
) -> None:
    query = EngineQuery(kind=SeedKind.ITEM, seed="f0")
    title = replace(query, kind=SeedKind.TITLE)
    assert ranker.rank_at_a_glance([query], memory) is None
    assert ranker.rank_at_a_glance([title], memory) is None
    first = ranker.rank([query, title], memory)
    assert ranker.rank_at_a_glance([query, title], memory) == first
    for other in (
        replace(query, seed="f1"),
        replace(query, kind=SeedKind.TEXT),
        replace(title, seed="nothing of that name"),
        replace(query, limit=50),
        replace(query, diversity=Diversity.HIGH),
        replace(query, exclude=frozenset(map(str, range(2 * REACH)))),
    ):
        assert ranker.rank_at_a_glance([query, other], memory) is None
    assert model.asked == 1


def test_at_a_glance_nothing_is_waited_for(ranker: Ranker, memory: CatalogMemory) -> None:
    query = EngineQuery(kind=SeedKind.ITEM, seed="f0")
    first = ranker.rank([query], memory)
    with ThreadPoolExecutor(1) as thread:
        with memory.lock:
            assert thread.submit(ranker.rank_at_a_glance, [query], memory).result() is None
        assert thread.submit(ranker.rank_at_a_glance, [query], memory).result() == first


def test_how_many_like_an_item_changes_no_neighbours(
    ranker: Ranker, memory: CatalogMemory, model: CountingModel
) -> None:
    first = about(ranker, memory)
    memory.apply([film("f7", 8, 0, popularity=5.0, revision=2)])
    assert about(ranker, memory) == first
    assert model.asked == 1


def test_the_one_not_asked_about_for_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recmesh_worker.engine.neighbours._ITEMS", 2)
    kept = Neighbours()
    nothing = np.empty(0, np.int64), np.empty(0, np.float64)
    kept.put(1, *nothing)
    kept.put(2, *nothing)
    assert kept.get(1) is not None
    kept.put(3, *nothing)
    assert [row for row in (1, 2, 3) if kept.get(row) is not None] == [1, 3]
    assert kept.get(None) is None
    assert kept.nbytes > 0
