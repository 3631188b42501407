from datetime import UTC, datetime

import pytest

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import Event
from recmesh_worker.engine.history import known, opinions

NOW = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def event(item: str, kind: int, value: float | None = None, *, days: float = 0) -> Event:
    return Event(item, kind, value, NOW - days * 86_400)


def strengths(*events: Event) -> dict[str, float]:
    return {item: opinion.strength for item, opinion in opinions(events).items()}


def test_each_type_has_its_strength() -> None:
    assert strengths(
        event("liked", Interaction.TYPE_LIKE),
        event("bought", Interaction.TYPE_PURCHASE),
        event("noted", Interaction.TYPE_BOOKMARK),
        event("watched", Interaction.TYPE_VIEW),
        event("half watched", Interaction.TYPE_VIEW, 0.5),
        event("left", Interaction.TYPE_VIEW, 0.05),
        event("clicked", Interaction.TYPE_CLICK),
        event("disliked", Interaction.TYPE_DISLIKE),
    ) == {
        "liked": 1.0,
        "bought": 0.8,
        "noted": 0.6,
        "watched": 0.4,
        "half watched": 0.2,
        "disliked": -1.0,
    }


def test_the_newest_thing_that_was_said_decides_over_what_was_done() -> None:
    found = strengths(
        event("a", Interaction.TYPE_PURCHASE),
        event("a", Interaction.TYPE_DISLIKE, days=1),
        event("a", Interaction.TYPE_LIKE, days=2),
        event("b", Interaction.TYPE_VIEW),
        event("b", Interaction.TYPE_PURCHASE, days=1),
    )
    assert found == {"a": -1.0, "b": 0.8}


@pytest.mark.parametrize("scale", [5, 10, 100])
def test_a_rating_counts_by_its_distance_from_the_persons_mean(scale: int) -> None:
    shares = {"best": 1.0, "good": 0.8, "bad": 0.4, "worst": 0.1}
    found = strengths(
        *(event(n, Interaction.TYPE_RATING, s * scale) for n, s in shares.items()),
        event("told nothing", Interaction.TYPE_RATING),
    )
    assert sorted(found, key=lambda name: -found[name]) == list(shares)
    assert found["good"] > 0 > found["bad"]
    assert found["best"] == 1.0


def test_a_generous_persons_middling_rating_is_a_bad_one() -> None:
    fives = [event(f"i{n}", Interaction.TYPE_RATING, 5.0) for n in range(30)]
    found = strengths(event("four", Interaction.TYPE_RATING, 4.0), *fives)
    assert found["four"] < 0 < found["i0"]


def test_a_first_good_rating_is_a_good_one_and_a_first_bad_one_a_bad_one() -> None:
    assert strengths(event("a", Interaction.TYPE_RATING, 5.0))["a"] > 0.5
    assert strengths(event("a", Interaction.TYPE_RATING, 1.0))["a"] < -0.5


def test_newer_counts_more_from_the_newest_on() -> None:
    years_ago = 3_000
    found = opinions(
        [
            event("new", Interaction.TYPE_LIKE, days=years_ago),
            event("old", Interaction.TYPE_LIKE, days=years_ago + 365),
            event("older", Interaction.TYPE_DISLIKE, days=years_ago + 730),
        ]
    )
    assert [found[n].weight for n in ("new", "old", "older")] == pytest.approx([1, 0.5, -0.25])
    assert found["older"].strength == -1


def test_no_history_says_nothing() -> None:
    assert opinions(()) == {}


def test_the_more_likes_the_more_is_known() -> None:
    assert known(0) == 0
    assert known(3) == 0.5
    assert known(20) < known(200) < 1
