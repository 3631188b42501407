import tomllib
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

from recmesh_jobs.items import IndexedItem
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.models.base import Artifact, Batch, Dataset, Model
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel
from recmesh_worker.models.registry import GROUP, create_model, model_names

N, D = 300, 16


@pytest.fixture(scope="module")
def memory() -> CatalogMemory:
    rng = np.random.default_rng(1)
    memory = CatalogMemory("films", D)
    memory.apply(
        [
            IndexedItem(
                catalog="films",
                item=f"i{n}",
                revision=1,
                seq=n + 1,
                title=f"Film {n}",
                popularity=float(n % 50),
                vector=rng.standard_normal(D).astype(np.float32),
            )
            for n in range(N)
        ]
    )
    return memory


@pytest.fixture
def batch(memory: CatalogMemory) -> Batch:
    return Batch(memory, memory.vectors[:3].copy(), np.ones(3, np.bool_))


def test_content_top_k_is_what_a_full_sort_says(memory: CatalogMemory, batch: Batch) -> None:
    mask = np.arange(N) % 3 != 0
    ids, scores = ContentModel().top_k(batch, 12, mask)
    full = np.where(mask, memory.cosines(batch.vectors, batch.centred), -np.inf)
    np.testing.assert_array_equal(ids, np.argsort(-full, axis=1)[:, :12])
    assert (np.diff(scores, axis=1) <= 0).all()


def test_content_scores_of_given_rows(memory: CatalogMemory, batch: Batch) -> None:
    ids, scores = ContentModel().top_k(batch, 5, memory.visible)
    np.testing.assert_allclose(ContentModel().score(batch, ids), scores, rtol=1e-5)


def test_content_says_when_there_are_no_more_rows(batch: Batch) -> None:
    mask = np.zeros(N, np.bool_)
    mask[:2] = True
    ids, _ = ContentModel().top_k(batch, 1_000, mask)
    assert ids.shape == (3, N)
    assert sorted(ids[0][ids[0] >= 0]) == [0, 1]


def test_content_of_an_empty_catalog() -> None:
    empty = Batch(CatalogMemory("films", D), np.ones((1, D), np.float32), np.ones(1, np.bool_))
    ids, scores = ContentModel().top_k(empty, 5, np.zeros(0, np.bool_))
    assert ids.shape == scores.shape == (1, 0)


def test_popularity_is_the_same_for_all_and_falls(memory: CatalogMemory, batch: Batch) -> None:
    mask = np.ones(N, np.bool_)
    mask[memory.popular_rows()[0]] = False
    ids, scores = PopularityModel().top_k(batch, 4, mask)
    np.testing.assert_array_equal(ids[0], memory.popular_rows()[1:5])
    np.testing.assert_array_equal(ids[0], ids[2])
    assert (np.diff(scores) < 0).all()
    assert 0 < scores.min() <= scores.max() < 1


@pytest.mark.parametrize("model", [ContentModel(), PopularityModel()])
def test_each_seed_may_have_a_mask_of_its_own(
    model: Model, memory: CatalogMemory, batch: Batch
) -> None:
    masks = np.zeros((3, N), np.bool_)
    masks[0], masks[1, 10:200], masks[2, :2] = True, True, True
    ids, scores = model.top_k(batch, 4, masks)
    for seed in range(3):
        one = Batch(memory, batch.vectors[seed : seed + 1], batch.centred[seed : seed + 1])
        alone, its_scores = model.top_k(one, 4, masks[seed])
        np.testing.assert_array_equal(ids[seed], alone[0])
        np.testing.assert_allclose(scores[seed], its_scores[0], rtol=1e-5)
    assert set(ids[2].tolist()) == {0, 1, -1}
    assert np.isneginf(scores[2, 2:]).all()


@pytest.mark.parametrize("model", [ContentModel(), PopularityModel()])
def test_what_is_fitted_can_be_loaded(model: Model, memory: CatalogMemory) -> None:
    artifact = model.fit(Dataset(memory))
    assert isinstance(artifact, Artifact)
    model.load(artifact)


def test_each_declared_entry_point_is_a_model_of_that_name() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    declared: dict[str, str] = pyproject["project"]["entry-points"][GROUP]
    for name, target in declared.items():
        module, _, attribute = target.partition(":")
        model: Model = getattr(import_module(module), attribute)()
        assert model.name == name


def test_an_unknown_model_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(LookupError, match="nonesuch"):
        create_model("nonesuch")


def test_installed_models_are_created_by_name() -> None:
    try:
        distribution("recmesh-worker")
    except PackageNotFoundError:
        pytest.skip("recmesh-worker is not installed")
    assert {"content", "popularity"} <= set(model_names())
    assert isinstance(create_model("content"), ContentModel)
