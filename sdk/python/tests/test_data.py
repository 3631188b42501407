from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_type_hints

import pytest
from sdk.python.tests.fake import Fake

from recmesh.catalog.v1.catalog_service_pb2 import ListItemsResponse
from recmesh.catalog.v1.item_pb2 import Item as WireItem
from recmesh.recommender.v1 import recommendation_pb2
from recmesh_client import (
    AsyncClient,
    Diversity,
    Interaction,
    InteractionType,
    Item,
    Order,
    Query,
    Reason,
    ReasonType,
    RuleAction,
    ServingConfig,
    State,
    Variant,
)
from recmesh_client.convert import catalog, interaction, item, model, query, recommendation, user
from recmesh_client.convert import serving_config as serving
from recmesh_client.convert.enums import EnumTable
from recmesh_client.data.query import QueryFields
from recmesh_client.data.serving_config import Rule

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
TABLES = [
    catalog.VISIBILITIES,
    interaction.TYPES,
    query.DIVERSITIES,
    recommendation.STATES,
    recommendation.FALLBACKS,
    recommendation.REASON_TYPES,
    user.ROLES,
    model.STATES,
    serving.ACTIONS,
]


@pytest.mark.parametrize("table", TABLES)
def test_a_value_that_is_newer_than_this_version_is_unknown(table: EnumTable[State, int]) -> None:
    assert table.member(999) == "unknown"
    with pytest.raises(ValueError, match="cannot be sent"):
        table.number(table.member(999))


@pytest.mark.parametrize("table", TABLES)
def test_every_member_stands_for_a_value_of_the_contract(table: EnumTable[State, int]) -> None:
    members = set(type(table.member(1))) - {table.member(999)}
    assert {table.member(table.number(member)) for member in members} == members


def test_an_item_survives_the_way_there_and_back() -> None:
    whole = Item(
        "a b:1",
        "Alien",
        "Alien",
        ("Чужой",),
        "In space.",
        ("Horror",),
        ("space",),
        1979,
        ("Ridley Scott",),
        ("Sigourney Weaver",),
        "en",
        "https://example.org/1.jpg",
        0.0,
        hidden=True,
        labels={"k": "v"},
        etag="e",
    )
    assert item.from_item(item.to_item(whole, "films")) == whole
    assert item.from_item(item.to_item(Item("1"), "films")) == Item("1")


def test_an_interaction_survives_the_way_there_and_back() -> None:
    whole = Interaction("1", InteractionType.RATING, "u", 0.0, NOW, "s", "t", "i")
    assert interaction.from_interaction(interaction.to_interaction(whole, "films")) == whole


def test_a_serving_config_survives_the_way_there_and_back() -> None:
    whole = ServingConfig(
        "default",
        blend={"content": 0.5},
        diversity=Diversity.LOW,
        rules=(Rule(RuleAction.BOOST, "a=1", 0.5),),
        variants=(Variant("b", 0.5, "other"),),
        seen_types=(InteractionType.VIEW,),
    )
    assert serving.from_serving_config(serving.to_serving_config(whole, "films")) == whole


@pytest.mark.parametrize(
    "seed", [{"title": ""}, {"item": "1"}, {"text": "x"}, {"history": True}, {"items": ("1", "2")}]
)
def test_a_query_survives_the_way_there_and_back(seed: QueryFields) -> None:
    whole = replace(
        Query(**seed),
        limit=5,
        filter="a=1",
        strict_filter=True,
        exclude_items=("3",),
        include_seen=True,
        diversity=Diversity.HIGH,
        serving_config="default",
    )
    assert query.from_query(query.to_query(whole, "films")) == whole


@pytest.mark.parametrize("seeds", [{}, {"title": "a", "text": "b"}, {"history": False}])
def test_a_query_has_one_seed(seeds: QueryFields) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        query.to_query(Query(**seeds), "films")


def test_keyword_arguments_are_the_fields_of_a_query() -> None:
    assert get_type_hints(QueryFields) == get_type_hints(Query)


def test_a_string_is_no_list_of_strings() -> None:
    with pytest.raises(TypeError, match="Drama"):
        item.to_item(Item("1", genres="Drama"), "films")


def test_times_need_a_zone() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="no time zone"):
        recommendation.to_recommendation(Order(Query(text="x"), deadline=naive), "films")


def test_a_deadline_may_be_a_length() -> None:
    order = Order(Query(text="x"), deadline=timedelta(hours=1))
    message = recommendation.to_recommendation(order, "films")
    left = message.deadline.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


def test_an_answer_has_plain_ids() -> None:
    wire = recommendation_pb2.Recommendation(
        name="catalogs/films/recommendations/1",
        state=recommendation_pb2.Recommendation.STATE_SUCCEEDED,
        resolved_item="catalogs/films/items/alien",
        model="catalogs/films/models/m",
        results=[
            recommendation_pb2.Result(
                item="catalogs/films/items/aliens",
                title="Aliens",
                score=0.5,
                reasons=[
                    recommendation_pb2.Reason(
                        type=recommendation_pb2.Reason.TYPE_SIMILAR_TO,
                        item="catalogs/films/items/alien",
                        cast=["Sigourney Weaver"],
                    )
                ],
            )
        ],
    )
    wire.timings.total.FromMilliseconds(12)
    wire.end_time.FromDatetime(NOW)
    job = recommendation.from_recommendation(wire)
    assert (job.catalog, job.id, job.name) == ("films", "1", wire.name)
    assert (job.resolved_item, job.model, job.results[0].item) == ("alien", "m", "aliens")
    assert job.results[0].reasons == (
        Reason(ReasonType.SIMILAR_TO, "alien", cast=("Sigourney Weaver",)),
    )
    assert job.timings is not None
    assert (job.timings.total, job.end_time) == (timedelta(milliseconds=12), NOW)
    assert job.state.ended


async def test_pages_follow_each_other(client: AsyncClient, fake: Fake) -> None:
    def page(*ids: str, token: str = "") -> ListItemsResponse:
        found = [WireItem(name=f"catalogs/films/items/{one}") for one in ids]
        return ListItemsResponse(items=found, next_page_token=token)

    pages = page("a", "b", token="t-1"), page(token="t-2"), page("c")
    fake.script("ListItems", *pages, *pages)
    listed = client.list_items("films", filter="x=1", page_size=2)
    for _ in range(2):
        assert [found.id async for found in listed] == ["a", "b", "c"]
    asked = [call.request for call in fake.calls[:3]]
    assert [request.page_token for request in asked] == ["", "t-1", "t-2"]
    assert {(request.filter, request.page_size) for request in asked} == {("x=1", 2)}


async def test_a_page_that_nobody_wants_is_not_fetched(client: AsyncClient, fake: Fake) -> None:
    found = [WireItem(name="catalogs/films/items/a")]
    fake.script("ListItems", ListItemsResponse(items=found, next_page_token="more"))
    async for one in client.list_items("films"):
        assert one.id == "a"
        break
