"""Whether a system answers, and answers right: checked once, before it is measured."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from urllib.error import URLError
from urllib.request import Request, urlopen

import grpc
import numpy as np

from bench.harness.calling import LIMIT, bearer, recommend
from bench.harness.data import Data
from bench.harness.processes import BrokenSystem
from bench.harness.system import System
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub

_SECONDS = 5.0
Ready = Callable[[], Awaitable[bool]]
Ask = Callable[[str], Awaitable[Sequence[str]]]
"""An item to the ids of those like it, best first. Raises OSError, RpcError or TimeoutError when there is no answer."""


def nearest(data: Data, item: str, *, centred: bool = False) -> list[str]:
    """The ten nearest items, best first, by one product with all vectors and a full sort.

    Args:
        data: The items.
        item: One of them; it is not among its own neighbours.
        centred: Whether the mean of all vectors is subtracted first, as the mesh does.
    """
    vectors = data.vectors
    if centred:
        vectors = vectors - vectors.mean(axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    place = data.ids.index(item)
    scores = vectors @ vectors[place]
    scores[place] = -np.inf
    return [data.ids[at] for at in np.argsort(-scores)[:LIMIT]]


def over_http(url: str, data: Data) -> Ready:
    """A check of readiness: False until `POST url` answers; BrokenSystem when its answer is not the right one."""

    def post(item: str) -> list[str]:
        body = json.dumps({"item": item, "limit": LIMIT}).encode()
        request = Request(url, body, {"content-type": "application/json"})  # noqa: S310 - http only
        with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return [result["item"] for result in json.load(answer)["results"]]

    async def ask(item: str) -> list[str]:
        return await asyncio.to_thread(post, item)

    return _right(url, ask, data, centred=False)


def over_grpc(system: System, data: Data, *, centred: bool) -> System:
    """The same system over gRPC, whose answer is looked at too before it counts as ready.

    Args:
        system: With `--target` in its load generator's command.
        data: The items.
        centred: As for `nearest`.
    """
    target = system.load[system.load.index("--target") + 1]

    async def ask(item: str) -> list[str]:
        env = await system.load_env() if system.load_env else {}
        async with grpc.aio.insecure_channel(target) as channel, asyncio.timeout(_SECONDS):
            stub = RecommenderServiceStub(channel)
            answer = await recommend(stub, bearer(env.get("BENCH_TOKEN")))(item)
            return [result.item.rpartition("/")[2] for result in answer.results]

    return replace(system, ready=_right(system.name, ask, data, centred=centred))


def judged(name: str, item: str, given: Sequence[str], expected: Sequence[str]) -> None:
    """Raises BrokenSystem when what a system answers for an item is not what is expected, in that order."""
    if list(given) != list(expected):
        raise BrokenSystem(f"{name} answers {given} for {item}, and not {expected}")


def _right(name: str, ask: Ask, data: Data, *, centred: bool) -> Ready:
    item = data.ids[0]
    expected = nearest(data, item, centred=centred)

    async def ready() -> bool:
        try:
            given = await ask(item)
        except (URLError, OSError, TimeoutError, grpc.RpcError):
            return False
        judged(name, item, given, expected)
        return True

    return ready
