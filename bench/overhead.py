"""What a call by the SDK costs beside the same call by the generated stub.

The two take turns, each going first every other time, so that whatever else the machine does meets both. They are
compared within blocks of a few calls, and the middle block is the figure: a disturbance spoils a block and not the
result.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import grpc

from bench.harness.calling import CATALOG, LIMIT, PARENT
from recmesh.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from recmesh.recommender.v1 import recommender_service_pb2, recommender_service_pb2_grpc
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_client import AlreadyExists, AsyncClient, Item, Targets

MOST = 1.15
BLOCKS = 60
PAIRS = 10
"""Calls of each kind in a block."""
TIMEOUT_SECONDS = 30.0
READ_CATALOG = "bench-sdk"
"""Of an item that is read: those of `CATALOG` are only in the read model."""
READ_ITEM = Item("item", "An item to be read", description="A line or two, as such items have.")
Ask = Callable[[int], Awaitable[object]]


@dataclass(frozen=True)
class Cost:
    """Of one call, the median: milliseconds that it takes, and of the processor, in this process."""

    ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Overhead:
    """One method called both ways.

    Attributes:
        call: Its name.
        sdk: The SDK's cost.
        stub: The stub's.
        p50: How many times as long the SDK takes: of the medians of each block, the median.
        cpu: The same for the processor.
    """

    call: str
    sdk: Cost
    stub: Cost
    p50: float
    cpu: float

    def figures(self) -> dict[str, float]:
        """For a line of JSON."""
        return {
            "p50_ms": round(self.sdk.ms, 3),
            "stub_p50_ms": round(self.stub.ms, 3),
            "p50_ratio": round(self.p50, 3),
            "cpu_ms": round(self.sdk.cpu_ms, 3),
            "stub_cpu_ms": round(self.stub.cpu_ms, 3),
            "cpu_ratio": round(self.cpu, 3),
        }


async def measure(client: AsyncClient, targets: Targets, ids: Sequence[str]) -> list[Overhead]:
    """A short call and a long one: reading an item, and a recommendation by item.

    Args:
        client: Signed in; may make catalogs.
        targets: Where the services are.
        ids: Items of `CATALOG` to ask for, by turns.
    """
    with suppress(AlreadyExists):
        await client.create_catalog(READ_CATALOG, display_name="Benchmarks of the SDK")
    with suppress(AlreadyExists):
        await client.create_item(READ_CATALOG, READ_ITEM)
    metadata = (("authorization", f"Bearer {(await client.token()).access_token}"),)
    async with (
        grpc.aio.insecure_channel(targets.catalog) as catalog,
        grpc.aio.insecure_channel(targets.recommender) as recommender,
    ):
        catalogs = catalog_service_pb2_grpc.CatalogServiceStub(catalog)
        recommendations = recommender_service_pb2_grpc.RecommenderServiceStub(recommender)

        def get_item(turn: int) -> Awaitable[object]:
            name = f"catalogs/{READ_CATALOG}/items/{READ_ITEM.id}"
            request = catalog_service_pb2.GetItemRequest(name=name)
            return catalogs.GetItem(request, metadata=metadata, timeout=TIMEOUT_SECONDS)

        def recommend(turn: int) -> Awaitable[object]:
            query = Query(item=f"{PARENT}/items/{ids[turn % len(ids)]}", limit=LIMIT)
            request = recommender_service_pb2.RecommendRequest(
                parent=PARENT,
                recommendation=Recommendation(query=query),
                request_id=str(uuid.uuid4()),  # As the SDK does: the server looks it up.
            )
            return recommendations.Recommend(request, metadata=metadata, timeout=TIMEOUT_SECONDS)

        return [
            await _compare(
                "get_item", lambda _: client.get_item(READ_CATALOG, READ_ITEM.id), get_item
            ),
            await _compare(
                "recommend",
                lambda turn: client.recommend(CATALOG, item=ids[turn % len(ids)], limit=LIMIT),
                recommend,
            ),
        ]


async def _compare(call: str, sdk: Ask, stub: Ask) -> Overhead:
    ours: list[Cost] = []
    bare: list[Cost] = []
    turn = 0
    for block in range(-1, BLOCKS):
        costs: tuple[list[Cost], list[Cost]] = ([], [])
        for _ in range(PAIRS):
            turn += 1
            for which in ((0, 1), (1, 0))[turn % 2]:
                costs[which].append(await _cost((sdk, stub)[which], turn))
        if block >= 0:  # The first warms up.
            ours.append(_middle(costs[0]))
            bare.append(_middle(costs[1]))
    return Overhead(
        call,
        _middle(ours),
        _middle(bare),
        median(a.ms / b.ms for a, b in zip(ours, bare, strict=True)),
        median(a.cpu_ms / b.cpu_ms for a, b in zip(ours, bare, strict=True)),
    )


async def _cost(ask: Ask, turn: int) -> Cost:
    began, used = time.perf_counter(), time.process_time()
    await ask(turn)
    return Cost((time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000)


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(median(cost.ms for cost in costs), median(cost.cpu_ms for cost in costs))
