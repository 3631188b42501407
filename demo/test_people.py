import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

Person = dict[str, Any]

FOLDER = Path(__file__).parent
TYPES = {"LIKE", "DISLIKE", "RATING", "VIEW", "BOOKMARK"}
VERDICTS = {"LIKE", "DISLIKE", "RATING"}


def read(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return read("people.jsonl")


@pytest.fixture(scope="module")
def film_ids() -> set[str]:
    return {film["id"] for film in read("films.jsonl")}


def liked(person: Person) -> set[str]:
    """The ids of the films that a person likes or rates with 7 or more."""
    return {
        said["item"]
        for said in person["interactions"]
        if said["type"] == "LIKE" or said.get("value", 0) >= 7
    }


def test_there_are_40_people_with_unique_slugs_names_and_tastes(people: list[Person]) -> None:
    assert len(people) == 40
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", person["id"]) for person in people)
    for key in ("id", "name", "taste"):
        assert len({person[key] for person in people}) == len(people), key
        assert all(person[key] == person[key].strip() != "" for person in people), key


def test_every_person_has_the_same_keys_in_order(people: list[Person]) -> None:
    for person in people:
        assert list(person) == ["id", "name", "taste", "interactions"], person["id"]
        for said in person["interactions"]:
            value = ["value"] if said["type"] == "RATING" else []
            assert list(said) == ["item", "type", *value, "day"], (person["id"], said)


def test_interactions_are_of_known_films_types_ratings_and_days(
    people: list[Person], film_ids: set[str]
) -> None:
    for person in people:
        for said in person["interactions"]:
            assert said["item"] in film_ids, (person["id"], said)
            assert said["type"] in TYPES, (person["id"], said)
            assert type(said["day"]) is int, (person["id"], said)
            assert 0 <= said["day"] <= 720, (person["id"], said)
            if said["type"] == "RATING":
                assert type(said["value"]) is int, (person["id"], said)
                assert 1 <= said["value"] <= 10, (person["id"], said)


def test_a_person_has_25_to_60_interactions_and_says_a_thing_of_a_film_once(
    people: list[Person],
) -> None:
    for person in people:
        said = [(one["item"], one["type"]) for one in person["interactions"]]
        assert 25 <= len(said) <= 60, person["id"]
        assert len(set(said)) == len(said), person["id"]
        verdicts = [item for item, kind in said if kind in VERDICTS]
        assert len(set(verdicts)) == len(verdicts), person["id"]


def test_nobody_saw_a_film_of_2025_more_than_a_year_ago(people: list[Person]) -> None:
    for person in people:
        for said in person["interactions"]:
            assert not said["item"].endswith("-2025") or said["day"] <= 365, (person["id"], said)


def test_every_film_is_liked_by_somebody(people: list[Person], film_ids: set[str]) -> None:
    assert set().union(*map(liked, people)) == film_ids


def test_some_films_are_liked_by_many_and_most_by_few(people: list[Person]) -> None:
    counts = sorted(Counter(item for person in people for item in liked(person)).values())
    assert counts[-20] >= 10
    assert counts[len(counts) // 2] <= 3


def test_people_like_the_same_films_together(people: list[Person]) -> None:
    pairs = Counter(pair for person in people for pair in combinations(sorted(liked(person)), 2))
    assert sum(count >= 3 for count in pairs.values()) >= 500
