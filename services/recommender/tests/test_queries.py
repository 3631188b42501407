import datetime as dt

import pytest
from google.rpc import error_details_pb2

from recmesh.recommender.v1.query_pb2 import HistorySeed, ItemsSeed, Query
from recmesh_jobs.messages import timestamp
from recmesh_kit.testing import status_of
from services.recommender.tests.conftest import FILMS, Replica, error_of, failure, state

QUERY = "recommendation.query"
ITEM = f"{FILMS}/items/alien"
THEIRS = "catalogs/books/items/dune"
INVALID = "INVALID_ARGUMENT INVALID_FIELD"
BAD_FILTER = f"INVALID_ARGUMENT INVALID_FILTER {QUERY}.filter"


@pytest.mark.parametrize(
    "query",
    [
        Query(title="Чужой"),
        Query(item=ITEM),
        Query(text="a heist inside a dream", limit=200),
        Query(title="x", exclude_items=[ITEM], include_seen=True, strict_filter=True),
        Query(history=HistorySeed()),
        Query(items=ItemsSeed(items=[ITEM, f"{FILMS}/items/ran"])),
        Query(title="x", filter='release_year >= 1980 AND NOT genres:"Drama"', strict_filter=True),
        Query(title="x", filter=" "),
        Query(title="x", diversity=Query.DIVERSITY_HIGH),
        Query(title="x", serving_config=f"{FILMS}/servingConfigs/default"),
    ],
)
async def test_what_is_served(replica: Replica, query: Query) -> None:
    job = await replica.create(query)
    asked = Query()
    asked.CopyFrom(query)
    asked.limit = query.limit or 10
    assert (state(job), job.query) == ("QUEUED", asked)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (Query(), f"{INVALID} {QUERY}.seed"),
        (Query(limit=5), f"{INVALID} {QUERY}.seed"),
        (Query(title=""), f"{INVALID} {QUERY}.title"),
        (Query(title="x" * 513), f"{INVALID} {QUERY}.title"),
        (Query(title="a\0b"), f"{INVALID} {QUERY}.title"),
        (Query(text=""), f"{INVALID} {QUERY}.text"),
        (Query(text="x" * 2001), f"{INVALID} {QUERY}.text"),
        (Query(item="alien"), f"{INVALID} {QUERY}.item"),
        (Query(item=THEIRS), f"{INVALID} {QUERY}.item"),
        (
            Query(title="x", exclude_items=[ITEM, THEIRS]),
            f"{INVALID} {QUERY}.exclude_items[1]",
        ),
        (Query(title="x", limit=-1), f"{INVALID} {QUERY}.limit"),
        (Query(title="x", limit=201), f"{INVALID} {QUERY}.limit"),
        (Query(title="x", serving_config="fast"), f"{INVALID} {QUERY}.serving_config"),
        (
            Query(title="x", serving_config=f"{FILMS}/servingConfigs/none"),
            "NOT_FOUND RESOURCE_NOT_FOUND",
        ),
        (
            Query(title="x", serving_config="catalogs/books/servingConfigs/default"),
            "NOT_FOUND RESOURCE_NOT_FOUND",
        ),
        (Query(items=ItemsSeed()), f"{INVALID} {QUERY}.items.items"),
        (Query(items=ItemsSeed(items=[ITEM] * 101)), f"{INVALID} {QUERY}.items.items"),
        (
            Query(items=ItemsSeed(items=[THEIRS, ITEM, THEIRS])),
            f"{INVALID} {QUERY}.items.items[0] {QUERY}.items.items[2]",
        ),
        (Query(title="x", filter="release_year >="), BAD_FILTER),
        (Query(title="x", filter="colour = red"), BAD_FILTER),
        (Query(title="x", filter="(" * 21 + "a" + ")" * 21), BAD_FILTER),
        (Query(title="x", filter="x" * 4097), f"{INVALID} {QUERY}.filter"),
    ],
)
async def test_what_is_refused(replica: Replica, query: Query, told: str) -> None:
    assert await failure(replica.create(query)) == told
    assert await failure(replica.recommend(query)) == told


async def test_an_error_of_a_filter_points_at_the_column(replica: Replica) -> None:
    error = await error_of(replica.create(Query(title="x", filter="hidden = true AND year > 1980")))
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status_of(error).details)
    assert info.metadata["column"] == "19"


@pytest.mark.parametrize("seconds", [-1, 0, 24 * 3600 + 60])
async def test_a_deadline_is_within_a_day(replica: Replica, seconds: float) -> None:
    at = timestamp(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds))
    assert await failure(replica.create(deadline=at)) == f"{INVALID} recommendation.deadline"


async def test_a_deadline_of_the_callers_own(replica: Replica) -> None:
    at = timestamp(dt.datetime.now(dt.UTC) + dt.timedelta(hours=23))
    assert (await replica.create(deadline=at)).deadline == at
