"""Dashboards and alerts against a mesh that runs, and the Prometheus that watches it: every question has an answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from demo.data import CATALOG, people
from recmesh_client import AsyncClient, NotFound, Order, Query
from recmesh_jobs.states import State
from tests import monitoring
from tests.conftest import LocalMesh
from tests.monitoring import DASHBOARDS, Prometheus, Series, selector, selectors

pytestmark = pytest.mark.xdist_group("mesh")

WAIT_SECONDS = 300.0
POSSIBLE = {
    "code": {code.name for code in grpc.StatusCode},
    "state": {state.name.lower() for state in State},
}
"""Labels whose values come only with what they tell of, which may never have happened."""


@pytest.fixture
def prometheus(local_mesh: LocalMesh) -> Prometheus:
    (member,) = local_mesh.members("prometheus")
    return Prometheus(member.address)


async def ask_for_everything(user: AsyncClient, admin: AsyncClient) -> None:
    """One call of each kind, and one that fails."""
    await asyncio.gather(
        user.recommend(CATALOG, title="Alien"),
        user.recommend(CATALOG, title="no film is called that"),
        user.recommend(CATALOG, item="alien-1979"),
        user.recommend(CATALOG, text="a heist inside a dream"),
        user.recommend(CATALOG, items=("alien-1979", "the-thing-1982")),
        admin.recommend(CATALOG, history=True, user=people()[0].id),
    )
    batch = await admin.batch_create_recommendations(CATALOG, [Order(Query(title="Ran"))])
    await admin.wait_for(batch.recommendations[0], timeout=WAIT_SECONDS)
    with suppress(NotFound):
        await user.get_catalog("nothing")


@asynccontextmanager
async def busy(user: AsyncClient, admin: AsyncClient) -> AsyncIterator[None]:
    """As long as the block lasts, the mesh is asked for everything: a rate needs two looks at a counter that rises."""

    async def ask() -> None:
        while True:
            await ask_for_everything(user, admin)

    asking = asyncio.create_task(ask(), name="ask for everything")
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait([asking])
    if not asking.cancelled():
        asking.result()


async def test_every_question_of_a_dashboard_has_an_answer(
    prometheus: Prometheus, user: AsyncClient, admin: AsyncClient
) -> None:
    until = time.monotonic() + WAIT_SECONDS
    left = [query for path in DASHBOARDS for query in monitoring.queries(path)]
    async with busy(user, admin):
        while left:
            assert time.monotonic() < until, [(q.place, q.expression) for q in left]
            await asyncio.sleep(0.5)
            left = await asyncio.to_thread(without_answer, prometheus, left)


def without_answer(
    prometheus: Prometheus, queries: Iterable[monitoring.Query]
) -> list[monitoring.Query]:
    """Those that have none, or one without a label that their legend shows."""

    def answered(query: monitoring.Query) -> bool:
        found = prometheus.ask(query.expression)
        return monitoring.says_something(found) and any(
            query.shown <= set(series.labels) for series in found
        )

    return [query for query in queries if not answered(query)]


async def test_every_alert_asks_for_what_there_is(
    prometheus: Prometheus, user: AsyncClient, admin: AsyncClient
) -> None:
    await ask_for_everything(user, admin)
    until = time.monotonic() + WAIT_SECONDS
    wanted = [one for alert in monitoring.alerts() for one in selectors(alert["expr"])]
    while left := [one for one in wanted if not there_is(prometheus, *one)]:
        assert time.monotonic() < until, left
        await asyncio.sleep(0.5)


def there_is(prometheus: Prometheus, name: str, matchers: list[tuple[str, str, str]]) -> bool:
    """Whether there are series of a metric with these labels, or such as may be one day."""
    if prometheus.ask(selector(name, matchers)):
        return True
    possible = [one for one in matchers if one[0] in POSSIBLE]
    for label, _, value in possible:
        assert set(re.split(r"\|", value)) <= POSSIBLE[label]
    others = [one for one in matchers if one not in possible]
    found: list[Series] = prometheus.ask(selector(name, others))
    return bool(possible) and any({one[0] for one in possible} <= set(s.labels) for s in found)


def test_no_rule_is_broken(prometheus: Prometheus) -> None:
    until = time.monotonic() + WAIT_SECONDS
    rules = prometheus.rules()
    # One that has not been asked yet is neither well nor broken.
    while any(rule["health"] == "unknown" for rule in rules):
        assert time.monotonic() < until, rules
        time.sleep(0.2)
        rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == {alert["alert"] for alert in monitoring.alerts()}
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
