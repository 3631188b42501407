import threading

import numpy as np
import pytest

from recmesh_jobs.items import IndexedItem, Vector
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.titles import Resolution

D = 8


def vector(*, axis: int, common: float = 0.0) -> Vector:
    v = np.full(D, common, np.float32)
    v[axis] += 1
    return (v / np.linalg.norm(v)).astype(np.float32)


def item(name: str, seq: int, *, revision: int | None = None, **fields: object) -> IndexedItem:
    values: dict[str, object] = {"title": name, "vector": vector(axis=seq % D)} | fields
    return IndexedItem(
        catalog="films",
        item=name,
        revision=revision or seq,
        seq=seq,
        **values,  # type: ignore[arg-type]
    )


@pytest.fixture
def memory() -> CatalogMemory:
    return CatalogMemory("films", D)


def test_items_are_found_by_row_and_by_title(memory: CatalogMemory) -> None:
    assert memory.apply([item("Alien", 1), item("Heat", 2)]) == 2
    row = memory.row_of("Heat")
    assert row is not None
    assert memory.row(row).item.title == "Heat"
    found = memory.titles.resolve("heat")
    assert found is not None
    assert found.item == "Heat"
    assert memory.last_seq == 2


def test_what_was_written_earlier_never_overwrites_what_was_written_later(
    memory: CatalogMemory,
) -> None:
    memory.apply([item("a", 5, revision=7, title="New"), item("b", 6)])
    assert memory.apply([item("a", 4, revision=6, title="Old"), item("a", 5, revision=7)]) == 0
    row = memory.row_of("a")
    assert row is not None
    assert memory.row(row).item.title == "New"
    assert memory.last_seq == 6


def test_what_was_written_later_counts_at_an_earlier_revision(memory: CatalogMemory) -> None:
    """The catalog was restored from a backup, and the read model repaired."""
    memory.apply([item("a", 5, revision=7, title="Lost"), item("b", 6, revision=8)])
    memory.apply([item("a", 7, revision=3, title="Restored")])
    memory.apply([IndexedItem(catalog="films", item="b", revision=4, seq=8, deleted=True)])
    row = memory.row_of("a")
    assert row is not None
    assert memory.row(row).item.title == "Restored"
    assert memory.row_of("b") is None


def test_a_newer_seq_of_the_same_revision_counts(memory: CatalogMemory) -> None:
    memory.apply([item("a", 5, revision=7)])
    assert memory.apply([item("a", 6, revision=7, popularity=3.0)]) == 1


def test_a_tombstone_removes_and_an_older_item_does_not_come_back(memory: CatalogMemory) -> None:
    memory.apply([item("a", 1), item("b", 2)])
    memory.apply([IndexedItem(catalog="films", item="a", revision=3, seq=3, deleted=True)])
    assert memory.row_of("a") is None
    assert memory.titles.resolve("a") is None
    assert memory.apply([item("a", 2)]) == 0
    assert len(memory) == 1
    assert memory.apply([item("a", 4)]) == 1


def test_hidden_items_are_neither_visible_nor_resolved(memory: CatalogMemory) -> None:
    memory.apply([item("Alien", 1, hidden=True)])
    row = memory.row_of("Alien")
    assert row is not None
    assert not memory.visible[row]
    assert memory.titles.resolve("Alien") is None


def test_rows_grow_past_the_first_capacity_and_freed_ones_are_used_again(
    memory: CatalogMemory,
) -> None:
    memory.apply([item(f"i{n}", n) for n in range(1, 701)])
    assert memory.vectors.shape == (700, D)
    np.testing.assert_allclose(np.linalg.norm(memory.vectors, axis=1), 1, rtol=1e-6)
    memory.apply([IndexedItem(catalog="films", item="i3", revision=701, seq=701, deleted=True)])
    memory.apply([item("new", 702)])
    assert memory.vectors.shape == (700, D)
    assert memory.memory_bytes > 700 * D * 4


def test_cosines_are_those_of_centred_vectors(memory: CatalogMemory) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((500, D)).astype(np.float32) + 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    memory.apply([item(f"i{n}", n + 1, vector=v) for n, v in enumerate(vectors)])
    memory.apply([item("i0", 600, vector=vectors[1])])  # the mean follows changes
    vectors[0] = vectors[1]
    mean = vectors.sum(0) / 510
    centred = vectors - mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    got = memory.cosines(vectors[:2], np.array([True, False]))
    np.testing.assert_allclose(got[0], centred @ centred[0], atol=1e-5)
    np.testing.assert_allclose(got[1], centred @ vectors[1], atol=1e-5)


def test_two_items_of_a_tiny_catalog_are_not_opposites(memory: CatalogMemory) -> None:
    memory.apply(
        [
            item("a", 1, vector=vector(axis=0, common=1)),
            item("b", 2, vector=vector(axis=1, common=1)),
        ]
    )
    assert memory.cosines(memory.vectors[:1], np.array([True]))[0, 1] > 0


def test_popular_rows_by_popularity_then_rating_then_year(memory: CatalogMemory) -> None:
    memory.apply(
        [
            item("old", 1, release_year=1950),
            item("new", 2, release_year=2020),
            item("rated", 3, average_rating=2.0),
            item("liked", 4, popularity=1.0),
            item("hidden", 5, popularity=9.0, hidden=True),
            item("bare", 6, vector=None, popularity=0.5),
        ]
    )
    names = [memory.row(int(row)).item.item for row in memory.popular_rows()]
    assert names == ["liked", "bare", "rated", "new", "old"]


def test_what_many_like_on_a_scale_of_its_own(memory: CatalogMemory) -> None:
    memory.apply([item("none", 1), item("few", 2, popularity=9.0)])
    memory.apply([item("most", 3, popularity=99.0), item("hidden", 4, popularity=1e6, hidden=True)])
    np.testing.assert_allclose(memory.liked(), [0, 0.5, 1, 0], atol=1e-6)
    memory.apply([item("few", 5, popularity=99.0)])
    np.testing.assert_allclose(memory.liked(), [0, 1, 1, 0], atol=1e-6)


def test_a_title_is_resolved_once_until_something_changes(
    memory: CatalogMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.apply([item("Alien", 1)])
    asked: list[str] = []
    resolve = memory.titles.resolve

    def noted(title: str) -> Resolution | None:
        asked.append(title)
        return resolve(title)

    monkeypatch.setattr(memory.titles, "resolve", noted)
    for _ in range(2):
        found = memory.resolve("alein")
        assert found is not None
        assert found.item == "Alien"
        assert memory.resolve("Heat") is None
    assert asked == ["alein", "Heat"]
    memory.apply([item("Heat", 2)])
    assert memory.resolve("Heat") is not None


def test_centred_vectors_have_unit_length_or_none(memory: CatalogMemory) -> None:
    memory.apply([item("a", 1), item("b", 2), item("bare", 3, vector=None)])
    centred = memory.centred(np.array([0, 1, 2]))
    np.testing.assert_allclose(np.linalg.norm(centred, axis=1), [1, 1, 0], rtol=1e-5)
    cosines = memory.cosines(memory.vectors[:2], np.array([True, True]))
    np.testing.assert_allclose(centred[:2] @ centred.T, cosines, atol=1e-5)


def test_a_batch_with_something_wrong_changes_nothing(memory: CatalogMemory) -> None:
    with pytest.raises(ValueError, match="shape"):
        memory.apply([item("a", 1), item("b", 2, vector=np.ones(3, np.float32))])
    assert len(memory) == 0
    other = IndexedItem(catalog="books", item="a", revision=1, seq=1)
    with pytest.raises(ValueError, match="books"):
        memory.apply([other])


def test_apply_waits_for_whoever_reads(memory: CatalogMemory) -> None:
    memory.apply([item("a", 1)])
    with memory.lock:
        writer = threading.Thread(target=memory.apply, args=([item("b", 2)],))
        writer.start()
        writer.join(0.05)
        assert writer.is_alive()
        assert len(memory) == 1
    writer.join(60)
    assert len(memory) == 2
