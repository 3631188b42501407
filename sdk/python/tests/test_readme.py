"""Each example of the README runs, in a process of its own, against the fake."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from sdk.python.tests.fake import Failure, Fake

from recmesh.auth.v1.auth_service_pb2 import TokenPair
from recmesh.auth.v1.user_pb2 import User
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import ImportItemsResponse, ListItemsResponse
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.common.v1.error_reason_pb2 import RowError
from recmesh.recommender.v1.index_service_pb2 import VerifyIndexResponse
from recmesh.recommender.v1.queue_service_pb2 import (
    DeadLetter,
    ListDeadLettersResponse,
    QueueStats,
    RedriveDeadLettersResponse,
)
from recmesh.recommender.v1.recommendation_pb2 import Recommendation, Result
from recmesh.recommender.v1.recommender_service_pb2 import RecommendRequest

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)

ITEM = Item(name="catalogs/films/items/alien-1979", title="Alien")
ANSWER = Recommendation(
    name="catalogs/films/recommendations/1",
    state=Recommendation.STATE_SUCCEEDED,
    resolved_title="Spirited Away",
    results=[Result(item=ITEM.name, title="Alien", score=0.5)],
)
ANSWERS: dict[str, Message] = {
    "Login": TokenPair(access_token="a", refresh_token="r", expires_in=900),
    "ExchangeApiKey": TokenPair(access_token="a", expires_in=900),
    "Register": User(name="users/1"),
    "GetUser": User(name="users/1", email="me@example.org"),
    "CreateCatalog": Catalog(name="catalogs/films"),
    "ImportItems": ImportItemsResponse(errors=[RowError(row=1, field="title")]),
    "ListItems": ListItemsResponse(items=[ITEM]),
    "GetItem": ITEM,
    "UpdateItem": ITEM,
    "ContinueRecommendation": ANSWER,
    "CreateRecommendation": ANSWER,
    "WatchRecommendation": ANSWER,
    "WriteInteraction": Interaction(),
    "GetQueueStats": QueueStats(queues=[QueueStats.Queue(id="bulk", ready_count=1)]),
    "ListDeadLetters": ListDeadLettersResponse(dead_letters=[DeadLetter(recommendation=ANSWER)]),
    "RedriveDeadLetters": RedriveDeadLettersResponse(redriven_count=1),
    "VerifyIndex": VerifyIndexResponse(done=True),
}
REFUSAL = Failure(
    grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", fields={"limit": "must be at most 200"}
)


def answering(answer: Message) -> Callable[[object], Message]:
    return lambda _: answer


def too_many(asked: RecommendRequest) -> bool:
    return asked.recommendation.query.limit > 200


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
async def test_an_example_runs(fake: Fake, example: str) -> None:
    for method, answer in ANSWERS.items():
        fake.always(method, answering(answer))
    fake.always("Recommend", lambda asked: REFUSAL if too_many(asked) else ANSWER)
    services = ("AUTH", "CATALOG", "RECOMMENDER")
    environment = {f"RECMESH_{service}_TARGET": fake.target for service in services}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", example),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == 0, complained.decode()
    # Nothing of what gRPC logs by itself is an error of the example.
    assert "Traceback" not in complained.decode()
    assert said or not fake.calls


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8
