import numpy as np
import pytest

from recmesh_worker.engine.memory import CatalogMemory
from services.worker.tests.engine_items import SPACE, D, film


@pytest.fixture
def memory() -> CatalogMemory:
    memory = CatalogMemory("films", D)
    memory.apply(
        [
            film("seed", 1, SPACE, genres=("A", "B"), directors=("Scott",), cast=("W", "H", "S")),
            film("genre", 2, SPACE, genres=("B", "C", "D"), release_year=None),
            film("cast", 3, SPACE, cast=("H", "S", "W"), release_year=None),
            film("roles swapped", 4, SPACE, cast=("Scott",), directors=("W",), release_year=None),
            film("director", 5, SPACE, directors=("Scott",), release_year=None),
            film("year", 6, SPACE, release_year=1981),
            film("nothing", 7, SPACE, release_year=None),
        ]
    )
    return memory


def bonuses(memory: CatalogMemory, seed: str, *others: str) -> list[float]:
    rows = np.array(memory.rows_of(others))
    seeds = np.full(len(rows), memory.row_of(seed), np.int64)
    return [round(bonus, 6) for bonus in memory.kinship.bonuses(seeds, rows).tolist()]


def test_people_genres_and_years_count(memory: CatalogMemory) -> None:
    found = bonuses(memory, "seed", "genre", "cast", "roles swapped", "director", "year", "nothing")
    assert found == [0.025, 0.1, 0.0, 0.1, 0.05, 0.0]
    assert bonuses(memory, "seed", "seed") == [pytest.approx(0.35)]


def test_what_has_nothing_shares_nothing_with_its_like(memory: CatalogMemory) -> None:
    assert bonuses(memory, "nothing", "nothing") == [0.0]


def test_each_row_is_compared_with_its_own_seed(memory: CatalogMemory) -> None:
    one, two = memory.rows_of(["cast", "director"])
    found = memory.kinship.bonuses(np.array([one, two]), np.array([one, two]))
    assert found.tolist() == pytest.approx([0.1, 0.1])


def test_a_changed_item_is_compared_as_it_is_now(memory: CatalogMemory) -> None:
    changed = film("genre", 9, SPACE, genres=("A",), release_year=None, revision=2)
    memory.apply([changed])
    assert bonuses(memory, "seed", "genre") == [0.05]


def test_it_grows_with_the_catalog(memory: CatalogMemory) -> None:
    memory.apply(
        [
            film(f"f{n}", n, SPACE, genres=tuple("ABCDEF"[: n % 7]), release_year=1981)
            for n in range(10, 710)
        ]
    )
    many = [f"f{n}" for n in range(10, 710)]
    shared = [len(set("ABCDEF"[: n % 7]) & {"A", "B"}) for n in range(10, 710)]
    either = [max(n % 7, 2) for n in range(10, 710)]
    wanted = [0.05 + 0.1 * s / e for s, e in zip(shared, either, strict=True)]
    assert bonuses(memory, "seed", *many) == pytest.approx(wanted, abs=1e-6)
