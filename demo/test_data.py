from datetime import UTC, datetime

from demo.data import films, people
from recmesh_client import InteractionType


def test_films_are_items_with_their_countries() -> None:
    alien = next(film for film in films() if film.id == "alien-1979")
    assert (alien.title, alien.release_year) == ("Alien", 1979)
    assert "United States" in alien.labels["countries"].split(", ")


def test_each_interaction_has_an_id_that_stays() -> None:
    first, second = (
        [said.id for person in people() for said in person.interactions] for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first)


def test_people_are_named_as_made_up_and_did_things_in_the_past() -> None:
    for person in people():
        assert person.id.startswith("made-up-")
        for said in person.interactions:
            assert said.user == person.id
            assert said.event_time is not None
            assert said.event_time <= datetime.now(UTC)
            assert (said.value is None) is (said.type is not InteractionType.RATING)
