"""Each way of asking, once."""

import pytest

from demo.data import CATALOG, films, people
from recmesh_client import (
    AsyncClient,
    Diversity,
    Fallback,
    InteractionType,
    Item,
    ReasonType,
    State,
)

pytestmark = pytest.mark.xdist_group("mesh")

SEEN = {
    InteractionType.VIEW,
    InteractionType.LIKE,
    InteractionType.DISLIKE,
    InteractionType.RATING,
}


async def test_a_misspelt_title_is_understood(user: AsyncClient) -> None:
    answer = await user.recommend(CATALOG, title="spirted awy", limit=5)
    assert answer.state is State.SUCCEEDED
    assert answer.resolved_title == "Spirited Away"
    assert 0.7 < answer.resolve_confidence < 1
    assert len(answer.results) == 5
    titles = [result.title for result in answer.results]
    assert "Spirited Away" not in titles
    assert "My Neighbor Totoro" in titles or "Princess Mononoke" in titles
    first = answer.results[0].reasons[0]
    assert first.type is ReasonType.SIMILAR_TO
    assert first.item == answer.resolved_item


async def test_a_title_in_another_script_means_the_same_film(user: AsyncClient) -> None:
    answer = await user.recommend(CATALOG, title="чужой")
    assert answer.resolved_title == "Alien"
    assert answer.resolve_confidence == 1


async def test_a_film_finds_films_like_it(user: AsyncClient) -> None:
    answer = await user.recommend(CATALOG, item="seven-samurai-1954", limit=5)
    assert answer.fallback is Fallback.NONE
    assert "Yojimbo" in [result.title for result in answer.results]


async def test_words_find_films_about_them(user: AsyncClient) -> None:
    answer = await user.recommend(CATALOG, text="a heist inside a dream", limit=3)
    assert "Inception" in [result.title for result in answer.results]
    assert answer.results[0].reasons[0].type is ReasonType.MATCHES_TEXT


async def test_a_basket_finds_films_like_those_in_it(user: AsyncClient) -> None:
    basket = ("alien-1979", "the-thing-1982", "solaris-1972")
    answer = await user.recommend(CATALOG, items=basket)
    assert (answer.fallback, answer.resolve_confidence) == (Fallback.NONE, 1)
    found = {result.item for result in answer.results}
    assert not found & set(basket)
    science_fiction = {film.id for film in films() if "Science Fiction" in film.genres}
    assert len(found & science_fiction) > 5
    reasons = [reason for result in answer.results for reason in result.reasons]
    alike = {reason.item for reason in reasons if reason.type is ReasonType.SIMILAR_TO}
    assert alike
    assert alike <= set(basket)


async def test_a_history_finds_what_the_person_has_not_seen(admin: AsyncClient) -> None:
    person = people()[0]
    answer = await admin.recommend(CATALOG, history=True, user=person.id)
    assert answer.fallback is Fallback.NONE
    assert answer.resolve_confidence > 0
    seen = {said.item for said in person.interactions if said.type in SEEN}
    assert len(answer.results) == 10
    assert not {result.item for result in answer.results} & seen


async def test_seen_films_come_when_asked_for(admin: AsyncClient) -> None:
    person = people()[0]
    liked = next(said for said in person.interactions if said.type is InteractionType.LIKE)
    film = next(film for film in films() if film.id == liked.item)
    without = await admin.recommend(CATALOG, text=film.description, user=person.id)
    assert film.id not in {result.item for result in without.results}
    with_it = await admin.recommend(
        CATALOG, text=film.description, user=person.id, include_seen=True
    )
    assert film.id in {result.item for result in with_it.results}


async def test_a_new_person_gets_popular_films_and_is_told(user: AsyncClient) -> None:
    answer = await user.recommend(CATALOG, history=True)
    assert (answer.fallback, answer.resolve_confidence) == (Fallback.POPULAR, 0)
    assert len(answer.results) == 10
    genres = {film.id: film.genres for film in films()}
    assert len({genre for result in answer.results for genre in genres[result.item]}) >= 5


async def test_nothing_known_is_answered_by_popular_films_and_said(user: AsyncClient) -> None:
    answer = await user.recommend(CATALOG, item="no-such-film")
    assert answer.fallback is Fallback.POPULAR
    assert len(answer.results) == 10


async def test_a_filter_holds(user: AsyncClient) -> None:
    answer = await user.recommend(
        CATALOG, text="war", filter='language = "ja" AND release_year < 1990'
    )
    allowed = {film.id for film in films() if film.language == "ja" and _year(film) < 1990}
    assert not answer.filter_relaxed
    assert len(answer.results) == 10
    assert {result.item for result in answer.results} <= allowed


async def test_a_filter_that_leaves_too_few_is_relaxed_unless_it_is_strict(
    user: AsyncClient,
) -> None:
    where = 'directors:"Andrei Tarkovsky" AND release_year < 1970'
    allowed = {
        film.id for film in films() if "Andrei Tarkovsky" in film.directors and _year(film) < 1970
    }
    assert 0 < len(allowed) < 10
    strict = await user.recommend(CATALOG, text="faith", filter=where, strict_filter=True)
    assert {result.item for result in strict.results} == allowed
    assert not strict.filter_relaxed
    relaxed = await user.recommend(CATALOG, text="faith", filter=where)
    assert len(relaxed.results) == 10
    assert relaxed.filter_relaxed


async def test_diversity_varies_the_results(user: AsyncClient) -> None:
    answers = [
        await user.recommend(CATALOG, item="spirited-away-2001", diversity=diversity)
        for diversity in (Diversity.NONE, Diversity.HIGH)
    ]
    plain, varied = ([result.item for result in answer.results] for answer in answers)
    assert len(plain) == len(varied) == 10
    assert set(plain) != set(varied)


async def test_again_never_repeats_to_the_end(user: AsyncClient) -> None:
    where = "release_year < 1930"
    left = {film.id for film in films() if _year(film) < 1930}
    answer = await user.recommend(CATALOG, text="love", filter=where, strict_filter=True, limit=8)
    while answer.results:
        shown = {result.item for result in answer.results}
        assert len(shown) == min(8, len(left))
        assert shown <= left
        left -= shown
        name = answer.name
        answer = await user.recommend_again(answer)
        assert answer.continues == name
    assert not left


def _year(film: Item) -> int:
    assert film.release_year is not None
    return film.release_year
