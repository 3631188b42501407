from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from apps.cli.tests.sources import movielens, movielens_1m, run, tmdb
from pyarrow import parquet

from recmesh_cli.formats import values
from recmesh_cli.formats.change import read_item_ids, with_item_ids, without_repeats
from recmesh_cli.formats.detect import Format, Wishes, detected, steps
from recmesh_cli.formats.mapping import ColumnMapping, from_file, from_options
from recmesh_cli.formats.movielens import Opinions
from recmesh_cli.formats.rows import Meter, Refusal, Row, UnfitSource
from recmesh_client import Interaction, InteractionType, Item


def test_movielens_films(tmp_path: Path) -> None:
    films, _ = steps([movielens(tmp_path / "ml")], Wishes())
    good, refused, _ = run(films)
    lamp, nightfall, untimed = (row.value for row in good)
    assert lamp == Item(
        "1",
        "The Lamp",
        alternate_titles=("La Lampe",),
        genres=("Drama", "Mystery"),
        tags=("harbour", "fog"),
        release_year=1971,
        labels={"imdb": "tt0012345", "tmdb": "77"},
    )
    assert nightfall == Item("2", "Nightfall", release_year=1988)
    assert untimed == Item("5", "Untimed", genres=("Comedy",))
    assert [row.line for row in good] == [2, 3, 6]
    assert [astuple(one)[:4] for one in refused] == [
        ("movies.csv", 4, "movieId: is missing", "movieId"),
        ("movies.csv", 5, "title: is missing", "title"),
    ]


def test_movielens_ratings_say_what_people_liked(tmp_path: Path) -> None:
    folder = movielens(tmp_path / "ml")
    _, ratings = steps([folder], Wishes())
    good, refused, _ = run(ratings)
    like, rating, dislike = (row.value for row in good)
    at = datetime.fromtimestamp(1000000000, UTC)
    name = values.interaction_id("7", "1", "like", at)
    assert like == Interaction("1", InteractionType.LIKE, "7", 4.5, at, id=name)
    assert isinstance(rating, Interaction)
    assert isinstance(dislike, Interaction)
    assert (rating.type, rating.value) == (InteractionType.RATING, 3)
    assert (dislike.type, dislike.value) == (InteractionType.DISLIKE, 1.5)
    assert [(one.line, one.field) for one in refused] == [(5, "rating"), (6, "userId"), (7, "")]

    _, ratings = steps([folder], Wishes(opinions=Opinions(None, None)))
    kept = [row.value for row in run(ratings)[0] if isinstance(row.value, Interaction)]
    assert {one.type for one in kept} == {InteractionType.RATING}


def test_movielens_1m(tmp_path: Path) -> None:
    films, ratings = steps([movielens_1m(tmp_path / "ml-1m")], Wishes())
    assert [row.value for row in run(films)[0]] == [
        Item("1", "The Lamp", genres=("Drama", "Children's"), release_year=1971),
        Item("2", "Café", genres=("Comedy",), release_year=1988),
    ]
    good, refused, _ = run(ratings)
    assert len(good) == 1
    assert [(one.file, one.line, one.field) for one in refused] == [("ratings.dat", 2, "rating")]


def test_tmdb(tmp_path: Path) -> None:
    (films,) = steps([tmdb(tmp_path / "tmdb")], Wishes())
    good, refused, _ = run(films)
    assert [row.value for row in good] == [
        Item(
            "11",
            "The Lamp",
            original_title="La Lampe",
            description="A lamp.",
            genres=("Drama",),
            release_year=1971,
            directors=("Cy",),
            cast=("Ada", "Bo"),
            language="fr",
            average_rating=7.5,
            labels={"countries": "France", "status": "Released"},
        ),
        Item("13", "Unseen", language="en"),
    ]
    assert [(one.line, one.message) for one in refused] == [(3, "genres: is not a JSON array")]


def test_a_table_with_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text("Name,Year,Kinds,Land\nThe Lamp,1971,Drama;Crime,France\nOther,x,,\n,1,,\n")
    told = ("title=Name", "release_year=Year", "genres=Kinds,sep=;", "labels.country=Land")
    mapping = from_options("items", told, ["language=fr"])
    (films,) = steps([path], Wishes(mapping=mapping, require=["genres"]))
    good, refused, left_out = run(films)
    expected = Item(
        "the-lamp-1971",
        "The Lamp",
        genres=("Drama", "Crime"),
        release_year=1971,
        language="fr",
        labels={"country": "France"},
    )
    assert [row.value for row in good] == [expected]
    assert [(one.line, one.field) for one in refused] == [(3, "release_year"), (4, "title")]
    assert left_out == 0


def test_columns_that_are_called_like_fields_need_no_mapping_beside_others(tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text("title,year,genres,language,labels.a,land\nLamp,1971,Drama,en,b,fr\n")
    mapping = from_options("items", ["release_year=year", "labels.land=land"], ["language=fr"])
    (row,), refused, _ = run(steps([path], Wishes(mapping=mapping))[0])
    labels = {"land": "fr", "a": "b"}
    assert row.value == Item(
        "lamp-1971", "Lamp", genres=("Drama",), release_year=1971, language="fr", labels=labels
    )
    assert not refused


def test_a_value_for_all_rows_gives_way_to_a_mapped_column_only(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text(
        '{"user": "u", "item": "a", "type": "film", "did": ""}\n'
        '{"user": "u", "item": "a", "type": "film", "did": "like"}\n'
    )
    for maps, kinds in (([], "view view"), (["type=did"], "view like")):
        wishes = Wishes(mapping=from_options("interactions", maps, ["type=view"]))
        good, _, _ = run(steps([path], wishes)[0])
        made = [row.value for row in good]
        assert [one.type for one in made if isinstance(one, Interaction)] == kinds.split()


def test_rows_without_a_field_that_is_wanted_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "films.jsonl"
    path.write_text('{"title": "Lamp", "description": "A lamp."}\n{"title": "Other"}\n')
    good, refused, left_out = run(steps([path], Wishes(require=["description"]))[0])
    assert (len(good), len(refused), left_out) == (1, 0, 1)


def test_interactions_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "seen.parquet"
    rows = [
        {"who": 7, "film": 1.0, "at": datetime(2024, 1, 31, tzinfo=UTC), "share": 0.5},
        {"who": None, "film": 2.0, "at": None, "share": None},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    told = ("user=who", "item=film", "event_time=at", "value=share")
    mapping = from_options("interactions", told, ["type=view"])
    good, refused, _ = run(steps([path], Wishes(mapping=mapping))[0])
    at = datetime(2024, 1, 31, tzinfo=UTC)
    name = values.interaction_id("7", "1", "view", at)
    assert good[0].value == Interaction("1", InteractionType.VIEW, "7", 0.5, at, id=name)
    assert [(one.line, one.field) for one in refused] == [(2, "user")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.toml", '[map]\ntitle = "N"\ngenres = { column = "G", sep = ";" }\n[set]\nhidden = 1'),
        (
            "m.json",
            '{"map": {"title": "N", "genres": {"column": "G", "sep": ";"}}, "set": {"hidden": 1}}',
        ),
    ],
)
def test_a_mapping_may_lie_in_a_file(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert from_file(path) == from_options("items", ("title=N", "genres=G,sep=;"), ["hidden=1"])


@pytest.mark.parametrize(
    "text", ["[map", "[map]\ntitle = 1", "[mapp]", 'kind = "films"', '[map]\nyear = "Y"']
)
def test_a_mapping_that_means_nothing_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(UnfitSource):
        from_file(path)


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text("Name\nLamp\n")
    with pytest.raises(UnfitSource, match=r"no column 'Nam': it has Name"):
        steps([path], Wishes(mapping=from_options("items", ["title=Nam"], ())))
    with pytest.raises(UnfitSource, match=r"--map title="):
        steps([path], Wishes(mapping=ColumnMapping()))


def test_formats_are_found_out(tmp_path: Path) -> None:
    assert detected([movielens(tmp_path / "a")]) is Format.MOVIELENS
    assert detected([movielens_1m(tmp_path / "b")]) is Format.MOVIELENS
    assert detected([tmdb(tmp_path / "c")]) is Format.TMDB
    for name, form in (("x.csv", "csv"), ("x.ndjson", "jsonl"), ("x.json", "json")):
        (tmp_path / name).write_text("title\n")
        assert detected([tmp_path / name]) == form
    with pytest.raises(UnfitSource, match=r"name the files, or say --format"):
        detected([tmp_path])
    with pytest.raises(UnfitSource, match="looks like MovieLens"):
        detected([tmp_path / "a" / "movies.csv"])
    with pytest.raises(UnfitSource, match="there is no"):
        steps([tmp_path / "none.csv"], Wishes())


def test_repeated_ids_of_items_are_refused() -> None:
    rows = [Row("a", line, Item(name, "x"), 1) for line, name in enumerate("aba", 1)]
    first, second, third = without_repeats(rows)
    assert [first, second] == rows[:2]
    assert third == Refusal("a", 3, "id: an earlier row has the same", "id", "a")


def test_interactions_move_to_the_ids_of_the_catalog(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("here,there,why\n1,Face/Off,exact\n")
    ids = read_item_ids(path)
    assert ids == {"1": "Face%2FOff"}
    seen = [Row("a", n, Interaction(str(n), InteractionType.LIKE, "u", id="i"), 1) for n in (1, 2)]
    moved, left_out = with_item_ids(seen, ids)
    assert left_out is None
    assert isinstance(moved, Row)
    assert moved.value == Interaction("Face%2FOff", InteractionType.LIKE, "u", id="i")


def test_reading_holds_no_rows(tmp_path: Path) -> None:
    folder = movielens(tmp_path / "ml")
    with (folder / "ratings.csv").open("a") as file:
        file.writelines("9,1,3,1000000000\n" for _ in range(50_000))
    _, ratings = steps([folder], Wishes())
    meter = Meter()
    rows = ratings.rows(meter)
    next(rows)
    assert meter.done < ratings.size / 10


@pytest.mark.parametrize("source", [movielens, movielens_1m, tmdb])
def test_a_second_reading_says_the_same(tmp_path: Path, source: Callable[[Path], Path]) -> None:
    folder = source(tmp_path / "source")
    first, second = ([run(step) for step in steps([folder], Wishes())] for _ in range(2))
    assert first == second
