"""Each example of the README runs, against the fake, in a folder that holds the files which it names."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from apps.cli.tests.sources import movielens, tmdb
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from sdk.python.tests.fake import Fake

from recmesh.auth.v1.auth_service_pb2 import TokenPair
from recmesh.auth.v1.user_pb2 import User
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    ImportItemsResponse,
    ListCatalogsResponse,
    SearchItemsResponse,
    SearchResult,
)
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import (
    ImportInteractionsResponse,
    ListInteractionsResponse,
)
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.recommender.v1.index_service_pb2 import VerifyIndexResponse
from recmesh.recommender.v1.queue_service_pb2 import (
    DeadLetter,
    ListDeadLettersResponse,
    QueueStats,
    RedriveDeadLettersResponse,
)
from recmesh.recommender.v1.recommendation_pb2 import Recommendation, Result

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)
(MAPPING,) = re.findall(r"^```toml\n(.*?)^```", TEXT, re.M | re.S)

ITEM = Item(name="catalogs/films/items/alien-1979", title="Alien")
ANSWER = Recommendation(
    name="catalogs/films/recommendations/1",
    state=Recommendation.STATE_SUCCEEDED,
    resolved_title="Alien",
    results=[Result(item=ITEM.name, title="Alien", score=0.5)],
)
CATALOG = Catalog(name="catalogs/films")
ANSWERS: dict[str, Message] = {
    "Login": TokenPair(access_token="a", refresh_token="r", expires_in=900),
    "ExchangeApiKey": TokenPair(access_token="a", expires_in=900),
    "Logout": Empty(),
    "GetUser": User(name="users/1"),
    "CreateCatalog": CATALOG,
    "GetCatalog": CATALOG,
    "ListCatalogs": ListCatalogsResponse(catalogs=[CATALOG]),
    "Recommend": ANSWER,
    "ContinueRecommendation": ANSWER,
    "WatchRecommendation": ANSWER,
    "SearchItems": SearchItemsResponse(results=[SearchResult(item=ITEM)]),
    "GetItem": ITEM,
    "WriteInteraction": Interaction(),
    "ListInteractions": ListInteractionsResponse(),
    "ImportItems": ImportItemsResponse(created_count=1),
    "ImportInteractions": ImportInteractionsResponse(created_count=1),
    "GetQueueStats": QueueStats(queues=[QueueStats.Queue(id="bulk")], broker_reachable=True),
    "ListDeadLetters": ListDeadLettersResponse(dead_letters=[DeadLetter(recommendation=ANSWER)]),
    "RedriveDeadLetters": RedriveDeadLettersResponse(redriven_count=1),
    "VerifyIndex": VerifyIndexResponse(done=True),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with all that the examples read."""
    movielens(tmp_path / "ml-latest-small")
    tmdb(tmp_path / "tmdb-5000")
    (tmp_path / "films.csv").write_text("Name,Year,Kinds,Land\nLamp,1971,Drama;Crime,France\n")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    (tmp_path / "seen.jsonl").write_text('{"who": "u", "film": "lamp-1971", "at": 1700000000}\n')
    for decade in (1970, 1980):
        film = (
            f'{{"title": "Lamp", "year": {decade}, "href": "Lamp_{decade}", "extract": "Light."}}'
        )
        (tmp_path / f"movies-{decade}s.json").write_text(f"[{film}]")
    (tmp_path / "ml_to_wikipedia.csv").write_text("movieId,href\n1,Lamp_1970\n")
    return tmp_path


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
async def test_an_example_runs(
    fake: Fake, environment: dict[str, str], files: Path, example: str
) -> None:
    for method, answer in ANSWERS.items():
        fake.always(method, lambda _, answer=answer: answer)  # type: ignore[misc]
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", example),
        env={**environment, "PATH": path},
        cwd=files,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    typed = b"me@example.org\ncorrect horse\n"
    out, err = await asyncio.wait_for(process.communicate(typed), 600)
    assert process.returncode == 0, err.decode()
    assert out
    for wrong in ("Traceback", "Error:", "is missing in"):
        assert wrong not in err.decode()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8
