import pytest

from recmesh_kit.text import (
    RESOLVE_THRESHOLD,
    normalise,
    similarity,
    split_year,
    title_parts,
    trigrams,
)


def alike(query: str, title: str) -> float:
    return similarity(normalise(query), normalise(title))


@pytest.mark.parametrize(
    ("title", "form"),
    [
        ("The Matrix", "matrix"),
        ("Matrix, The (1999)", "matrix"),
        ("Blechtrommel, Die", "die blechtrommel"),
        ("Die Hard", "die hard"),
        ("L'Avventura", "avventura"),
        ("Amélie", "amelie"),
        ("İstanbul, Łódź", "istanbul lodz"),
        ("Schindler\u2019s List", "schindlers list"),
        ("Spider-Man", "spider man"),
        ("WALL·E", "wall e"),
        ("E.T. the Extra-Terrestrial", "et the extra terrestrial"),
        ("L.A. Confidential", "la confidential"),
        ("Romeo & Juliet", "romeo and juliet"),
        ("Alien³", "alien 3"),
        ("8½", "8 1 2"),
        ("Rocky II", "rocky 2"),
        ("Malcolm X", "malcolm x"),
        ("20,000 Leagues", "20000 leagues"),
        ("1917", "1917"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("मुग़ल-ए-आज़म", "मुग़ल ए आज़म"),
    ],
)
def test_normal_form(title: str, form: str) -> None:
    assert normalise(title) == form


def test_cyrillic_letters_that_people_leave_the_dots_off() -> None:
    assert normalise("Ёлки") == normalise("Елки")
    assert normalise("Звёздный путь: Йода") == normalise("звездный путь иода")


@pytest.mark.parametrize("title", ["The", "!!!", "$", "(1999)", "…", "Die"])
def test_a_title_is_never_normalised_away(title: str) -> None:
    assert normalise(title)


def test_normalising_twice_changes_nothing() -> None:
    for title in ["The The", "Godfather: Part II, The", "A.I. Artificial Intelligence", "8½"]:
        assert normalise(normalise(title)) == normalise(title)


def test_the_year_is_split_off_only_in_parentheses_at_the_end() -> None:
    assert split_year("Solaris (1972)") == ("Solaris", 1972)
    assert split_year("Blade Runner 2049") == ("Blade Runner 2049", None)
    assert split_year("(500) Days of Summer") == ("(500) Days of Summer", None)


def test_parts_of_a_title_are_what_people_use_alone() -> None:
    empire = title_parts("Star Wars: Episode V - The Empire Strikes Back")
    assert "star wars" in empire
    assert "empire strikes back" in empire
    assert title_parts("Heat") == ()


def test_trigrams_do_not_depend_on_word_order() -> None:
    assert trigrams("dark knight") == trigrams("knight dark")
    assert "  d" in trigrams("dark")
    assert trigrams("") == ()


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("the matirx", "The Matrix"),
        ("spiderman", "Spider-Man"),
        ("12 monkeys", "Twelve Monkeys"),
        ("rocky 5", "Rocky V"),
        ("knight dark the", "The Dark Knight"),
        ("LA confidential", "L.A. Confidential"),
        ("lord of rings", "The Lord of the Rings"),
        ("teh big lebowski", "The Big Lebowski"),
        ("lord of the rings fellowship", "The Lord of the Rings: The Fellowship of the Ring"),
        ("lord of the rin", "The Lord of the Rings"),
        ("shawshank redemtion", "Shawshank Redemption, The"),
        ("матрца", "Матрица"),
    ],
)
def test_misspelt_titles_are_alike(query: str, title: str) -> None:
    assert RESOLVE_THRESHOLD <= alike(query, title) < 1


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("alien 3", "Alien"),
        ("rocky 4", "Rocky V"),
        ("spiderman 2", "Spider-Man 3"),
        ("heat", "Heathers"),
        ("hero", "Her"),
        ("up", "Us"),
        ("qwfp zxcv", "Se7en"),
        ("матрёшка", "Матрица"),
        ("", "Alien"),
    ],
)
def test_other_films_are_not_alike(query: str, title: str) -> None:
    assert alike(query, title) < RESOLVE_THRESHOLD


def test_only_equal_forms_are_certain() -> None:
    assert alike("Matrix, The", "the MATRIX") == 1.0
    assert alike("spiderman", "Spider-Man") < 1.0


def test_the_film_itself_comes_before_its_sequel() -> None:
    assert alike("alien", "Alien") > alike("alien", "Aliens") > alike("alien", "Alien 3")
