"""What is asked and what is broken comes of the seed alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from chaos.asking import BATCHES, Known, Step, Way, steps
from chaos.breaking import BROKER, BROKERS, ENDS, LEAST, Disturbance, Kind, draw
from chaos.world import CHANGING, FIXED, chosen

ITEMS = [Known(f"item-{number}", f"Title {number}") for number in range(10)]


def asked(seed: int) -> list[Step]:
    return list(steps(seed, 20, 100, ITEMS))


def test_the_same_seed_asks_the_same() -> None:
    assert asked(1) == asked(1)
    assert asked(1) != asked(2)


def test_about_as_much_is_asked_as_was_wished_half_of_it_in_batches() -> None:
    found = asked(3)
    jobs = sum(len(step.asked) for step in found)
    batched = sum(len(step.asked) for step in found if step.way in BATCHES)
    assert 2000 <= jobs < 2060
    assert 0.4 < batched / jobs < 0.6
    assert {step.way for step in found} == set(Way)
    assert all(before.at <= after.at < 20 for before, after in pairwise(found))
    ids = [one.request_id for step in found for one in step.asked]
    assert len(set(ids)) == len(ids)


def test_the_same_seed_breaks_the_same() -> None:
    assert draw(1, 120) == draw(1, 120)
    assert draw(1, 120) != draw(2, 120)


@pytest.mark.parametrize("seed", range(20))
def test_all_kinds_come_and_all_is_over_in_time(seed: int) -> None:
    found = draw(seed, 120)
    assert {one.kind for one in found} == set(Kind)
    assert all(one.at + one.seconds < 120 for one in found)
    assert found == sorted(found, key=lambda one: one.at)


@pytest.mark.parametrize("seed", range(20))
def test_a_short_run_breaks_what_matters_most(seed: int) -> None:
    found = draw(seed, 20)
    assert len(found) >= LEAST - 1
    assert sum(one.kind in ENDS for one in found) >= 3


@pytest.mark.parametrize("seed", range(20))
def test_of_one_member_one_thing_is_broken_at_a_time(seed: int) -> None:
    by_member: dict[str, list[Disturbance]] = {}
    for one in draw(seed, 600):
        for member in BROKERS if one.target == BROKER else (one.target,):
            by_member.setdefault(member, []).append(one)
    for its in by_member.values():
        assert all(before.at + before.seconds < after.at for before, after in pairwise(its))


def test_the_films_that_are_asked_for_are_told_apart_by_their_titles() -> None:
    fixed, changing = chosen()
    assert (len(fixed), len(changing)) == (FIXED, CHANGING)
    assert len({film.id for film in (*fixed, *changing)}) == FIXED + CHANGING
    assert all(film.title.lower() == film.title.upper().lower() for film in fixed)
