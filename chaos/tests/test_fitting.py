"""Whether an answer fits what was asked."""

from __future__ import annotations

import pytest

from chaos.asking import PARENT, Asked, item_name
from chaos.fitting import Facts, misfits
from recmesh.recommender.v1.query_pb2 import ItemsSeed, Query
from recmesh.recommender.v1.recommendation_pb2 import Reason, Recommendation, Result

ALIEN, SOLARIS, STALKER, METROPOLIS = map(item_name, ("alien", "solaris", "stalker", "metropolis"))
FACTS = Facts(
    {"alien": "alien", "solaris": "solaris"},
    {"alien": 1979, "solaris": 1972, "stalker": 1979, "metropolis": 1927},
)


def asked(**query: object) -> Asked:
    return Asked("r", 0, "ada", "visit", Query(limit=2, **query), None)  # type: ignore[arg-type]


def answered(to: Asked, *items: str, resolved: str = "", like: str = "") -> Recommendation:
    results = [Result(item=item) for item in items]
    if like:
        results[0].reasons.add(type=Reason.TYPE_SIMILAR_TO, item=like)
    return Recommendation(
        name=f"{PARENT}/recommendations/1",
        user=to.user,
        session=to.session,
        query=to.query,
        state=Recommendation.STATE_SUCCEEDED,
        results=results,
        resolved_item=resolved,
    )


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ({"item": ALIEN}, {"resolved": ALIEN, "like": ALIEN}),
        ({"title": "ALIEN"}, {"resolved": ALIEN, "like": ALIEN}),
        ({"items": ItemsSeed(items=[ALIEN])}, {"like": ALIEN}),
        ({"text": "alien"}, {}),
    ],
)
def test_the_answer_to_what_was_asked_fits(
    query: dict[str, object], answer: dict[str, str]
) -> None:
    mine = asked(**query)
    assert misfits(mine, "ada", answered(mine, SOLARIS, STALKER, **answer), FACTS) == []


def test_another_persons_job_does_not_fit() -> None:
    mine = asked(item=ALIEN)
    theirs = Recommendation(name="catalogs/films/recommendations/1", user="bob", session="other")
    assert len(misfits(mine, "ada", theirs, FACTS)) == 4


@pytest.mark.parametrize(
    ("query", "items", "more"),
    [
        ({"item": ALIEN}, [STALKER], {"resolved": SOLARIS}),
        ({"item": ALIEN}, [STALKER], {}),
        ({"title": "alien"}, [STALKER], {"resolved": SOLARIS}),
        ({"item": ALIEN}, [STALKER], {"resolved": ALIEN, "like": SOLARIS}),
        ({"items": ItemsSeed(items=[ALIEN])}, [STALKER], {"like": SOLARIS}),
        ({"item": ALIEN}, [ALIEN], {"resolved": ALIEN}),
        ({"item": ALIEN}, [], {"resolved": ALIEN}),
        ({"item": ALIEN}, [STALKER, STALKER], {"resolved": ALIEN}),
        ({"item": ALIEN}, [STALKER, SOLARIS, METROPOLIS], {"resolved": ALIEN}),
        ({"item": ALIEN, "exclude_items": [STALKER]}, [STALKER], {"resolved": ALIEN}),
        ({"item": ALIEN, "filter": "release_year >= 1930"}, [METROPOLIS], {"resolved": ALIEN}),
    ],
)
def test_the_answer_to_something_else_does_not_fit(
    query: dict[str, object], items: list[str], more: dict[str, str]
) -> None:
    mine = asked(**query)
    assert len(misfits(mine, "ada", answered(mine, *items, **more), FACTS)) == 1


def test_results_without_a_success_do_not_fit() -> None:
    mine = asked(item=ALIEN)
    wrong = answered(mine, SOLARIS, resolved=ALIEN)
    wrong.state = Recommendation.STATE_CANCELLED
    assert misfits(mine, "ada", wrong, FACTS) == ["it has results without having succeeded"]
