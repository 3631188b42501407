import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

Film = dict[str, Any]

FILMS_PATH = Path(__file__).with_name("films.jsonl")
KINDS: dict[str, type] = {
    "id": str,
    "title": str,
    "original_title": str,
    "alternate_titles": list,
    "release_year": int,
    "genres": list,
    "countries": list,
    "language": str,
    "directors": list,
    "cast": list,
    "description": str,
}
GENRES = {
    "Action",
    "Adventure",
    "Animation",
    "Biography",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Family",
    "Fantasy",
    "History",
    "Horror",
    "Music",
    "Musical",
    "Mystery",
    "Romance",
    "Science Fiction",
    "Sport",
    "Thriller",
    "War",
    "Western",
}
CYRILLIC = re.compile("[\u0400-\u04ff]")


@pytest.fixture(scope="module")
def films() -> list[Film]:
    lines = FILMS_PATH.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def test_every_film_has_the_same_keys_in_order_and_nothing_is_empty(films: list[Film]) -> None:
    for film in films:
        assert list(film) == list(KINDS), film["id"]
        for key, kind in KINDS.items():
            assert type(film[key]) is kind, (film["id"], key)
            # Documentaries and wordless films may have no cast.
            assert film[key] or key == "cast", (film["id"], key)


def test_texts_are_trimmed_and_lists_hold_no_duplicates(films: list[Film]) -> None:
    for film in films:
        for key, value in film.items():
            texts = value if isinstance(value, list) else [str(value)]
            assert all(isinstance(text, str) and text == text.strip() != "" for text in texts), film
            assert len(set(texts)) == len(texts), (film["id"], key)
        assert not {film["title"], film["original_title"]} & set(film["alternate_titles"]), film


def test_ids_are_unique_slugs_and_a_title_stands_once_a_year(films: list[Film]) -> None:
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", film["id"]) for film in films)
    assert len({film["id"] for film in films}) == len(films)
    assert len({(film["title"].lower(), film["release_year"]) for film in films}) == len(films)


def test_lines_are_plain_utf8_without_escapes() -> None:
    assert "\\u" not in FILMS_PATH.read_text(encoding="utf-8")


def test_the_catalog_is_wide(films: list[Film]) -> None:
    assert len(films) >= 500
    assert len({country for film in films for country in film["countries"]}) >= 25
    decades = {film["release_year"] // 10 * 10 for film in films}
    assert decades == set(range(1920, 2030, 10))
    assert min(film["release_year"] for film in films) == 1920
    assert max(film["release_year"] for film in films) == 2025


def test_years_genres_languages_and_cast_sizes_are_known_ones(films: list[Film]) -> None:
    for film in films:
        assert 1920 <= film["release_year"] <= 2025, film["id"]
        assert set(film["genres"]) <= GENRES, film["id"]
        assert re.fullmatch("[a-z]{2}", film["language"]), film["id"]
        assert len(film["cast"]) <= 5, film["id"]


def test_every_film_can_be_found_by_its_russian_title(films: list[Film]) -> None:
    for film in films:
        titles = [film["original_title"], *film["alternate_titles"]]
        assert any(CYRILLIC.search(title) for title in titles), film["id"]


def test_descriptions_are_35_to_70_words_and_do_not_name_the_film(films: list[Film]) -> None:
    for film in films:
        assert 35 <= len(film["description"].split()) <= 70, film["id"]
        # Short titles are everyday words; a long one in its own description gives the film away.
        if len(words(film["title"])) > 1:
            assert film["title"].lower() not in film["description"].lower(), film["id"]


def test_no_two_descriptions_are_alike(films: list[Film]) -> None:
    described = [(film["id"], set(words(film["description"]))) for film in films]
    for (one, a), (other, b) in combinations(described, 2):
        assert len(a & b) / len(a | b) < 0.4, (one, other)
