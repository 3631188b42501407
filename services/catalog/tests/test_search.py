from collections.abc import Mapping

import pytest

from recmesh.catalog.v1.catalog_service_pb2 import (
    DeleteItemRequest,
    SearchItemsRequest,
    SearchItemsResponse,
)
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit import paging
from services.catalog.tests.conftest import ANN, EDITOR, Mesh, Metadata, failure

FILMS: dict[str, dict[str, object]] = {
    "matrix": {"title": "The Matrix", "alternate_titles": ["Матрица"]},
    "godfather": {"title": "The Godfather"},
    "amelie": {"title": "Amelie", "original_title": "Le Fabuleux Destin d'Amélie Poulain"},
    "knight": {"title": "The Dark Knight"},
    "alien": {"title": "Alien", "release_year": 1979},
    "aliens": {"title": "Aliens", "release_year": 1986},
    "empire": {"title": "Star Wars: Episode V - The Empire Strikes Back"},
    "spirited": {"title": "Spirited Away", "original_title": "千と千尋の神隠し"},
}


@pytest.fixture(scope="module")
async def films(mesh: Mesh) -> str:
    """The name of a catalog with a few films. Nobody changes it."""
    name = await mesh.catalog()
    await mesh.import_items(name, rows(name, FILMS))
    return name


def rows(parent: str, films: Mapping[str, Mapping[str, object]]) -> list[Item]:
    return [
        Item(name=f"{parent}/items/{item}", **content)  # type: ignore[arg-type]
        for item, content in films.items()
    ]


async def search(
    mesh: Mesh, parent: str, query: str, *, size: int = 0, token: str = "", metadata: Metadata = ANN
) -> SearchItemsResponse:
    request = SearchItemsRequest(parent=parent, query=query, page_size=size, page_token=token)
    return await mesh.catalogs.SearchItems(request, metadata=metadata)


async def found(mesh: Mesh, parent: str, query: str, metadata: Metadata = ANN) -> list[str]:
    answer = await search(mesh, parent, query, metadata=metadata)
    return [result.item.name.rpartition("/")[2] for result in answer.results]


@pytest.mark.parametrize(
    ("query", "item"),
    [
        ("the matirx", "matrix"),
        ("Matrix, The", "matrix"),
        ("матрца", "matrix"),
        ("godf", "godfather"),
        ("the godf", "godfather"),
        ("knight dark", "knight"),
        ("dark kni", "knight"),
        ("amélie", "amelie"),
        ("fabuleux destin d'amelie", "amelie"),
        ("empire strikes back", "empire"),
        ("empire strikes b", "empire"),
        ("spirted awy", "spirited"),
        ("千と千尋の神隠し", "spirited"),
        ("alien (1986)", "alien"),
    ],
)
async def test_film_is_found_first(mesh: Mesh, films: str, query: str, item: str) -> None:
    assert (await found(mesh, films, query))[0] == item


async def test_exact_hit_comes_before_what_begins_like_it(mesh: Mesh, films: str) -> None:
    answer = await search(mesh, films, "alien")
    assert [(r.item.title, r.matched_title) for r in answer.results[:2]] == [
        ("Alien", "Alien"),
        ("Aliens", "Aliens"),
    ]
    assert answer.results[0].score == 1 > answer.results[1].score


async def test_of_what_begins_like_it_main_titles_come_first(mesh: Mesh, parent: str) -> None:
    films: dict[str, dict[str, object]] = {
        "samourai": {"title": "Le Samouraï", "alternate_titles": ["The Godson"]},
        "godfather": {"title": "The Godfather"},
        "part-ii": {"title": "The Godfather Part II"},
        "wars": {"title": "Star Wars: Godspeed"},
    }
    await mesh.import_items(parent, rows(parent, films))
    assert (await found(mesh, parent, "god"))[:2] == ["godfather", "part-ii"]
    # By now it is alike enough to be what is meant, as title resolution sees it.
    assert (await found(mesh, parent, "godso"))[0] == "samourai"


async def test_a_beginning_that_is_alike_enough_goes_by_that(mesh: Mesh, parent: str) -> None:
    films: dict[str, dict[str, object]] = {
        "a": {"title": "Seven Samurai", "alternate_titles": ["Dragon Ball"]},
        "b": {"title": "Dragon Ball Z: Battle of Gods"},
    }
    await mesh.import_items(parent, rows(parent, films))
    assert await found(mesh, parent, "drag") == ["b", "a"]
    assert await found(mesh, parent, "dragon bal") == ["a", "b"]


async def test_result_is_the_item_with_the_title_that_fits(mesh: Mesh, films: str) -> None:
    (result, *_) = (await search(mesh, films, "матрица")).results
    assert result.item == await mesh.get(f"{films}/items/matrix")
    assert (result.matched_title, result.score) == ("Матрица", 1)


async def test_part_of_a_title_is_less_than_a_title(mesh: Mesh, films: str) -> None:
    (result, *_) = (await search(mesh, films, "empire strikes back")).results
    assert result.matched_title == FILMS["empire"]["title"]
    assert 0.9 < result.score < 1


async def test_nothing_is_alike(mesh: Mesh, films: str) -> None:
    answer = await search(mesh, films, "qwfp zxcv")
    assert (list(answer.results), answer.next_page_token) == ([], "")


async def test_year_decides_between_films_of_one_title(mesh: Mesh, parent: str) -> None:
    same = {f"solaris-{year}": {"title": "Solaris", "release_year": year} for year in (1972, 2002)}
    await mesh.import_items(parent, rows(parent, same))
    assert await found(mesh, parent, "solaris (2002)") == ["solaris-2002", "solaris-1972"]
    assert await found(mesh, parent, "solaris (1972)") == ["solaris-1972", "solaris-2002"]


async def test_better_rated_film_of_one_title_comes_first(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "a", title="Solaris")
    await mesh.create(parent, "b", title="Solaris", average_rating=6)
    await mesh.create(parent, "c", title="Solaris", average_rating=8)
    assert await found(mesh, parent, "solaris") == ["c", "b", "a"]


async def test_without_a_query_the_best_rated_come_first(mesh: Mesh, parent: str) -> None:
    await mesh.create(parent, "unrated", title="A")
    await mesh.create(parent, "worst", title="C", average_rating=0)
    await mesh.create(parent, "good", title="C", average_rating=8)
    await mesh.create(parent, "also", title="B", average_rating=8)
    assert await found(mesh, parent, "  ") == ["also", "good", "worst", "unrated"]


async def test_item_is_found_by_the_titles_that_it_has_now(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "x", title="Casablanca", alternate_titles=["Everybody"])
    item.title, item.alternate_titles[:] = "Metropolis", ["Everybody comes"]
    await mesh.update(item, "title", "alternate_titles")
    assert await found(mesh, parent, "casablanca") == []
    assert await found(mesh, parent, "metropolis") == ["x"]
    assert await found(mesh, parent, "everybody comes") == ["x"]


async def test_title_that_differs_in_case_only_is_shown_as_it_is_now(
    mesh: Mesh, parent: str
) -> None:
    item = await mesh.create(parent, "x", title="casablanca")
    item.title = "Casablanca"
    await mesh.update(item, "title")
    assert (await search(mesh, parent, "casablanca")).results[0].matched_title == "Casablanca"


async def test_deleted_item_is_not_found(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "x", title="Casablanca")
    await mesh.catalogs.DeleteItem(DeleteItemRequest(name=item.name), metadata=EDITOR)
    for query in ("casablanca", ""):
        assert await found(mesh, parent, query) == []


async def test_hidden_item_is_found_by_those_above_user(mesh: Mesh, parent: str) -> None:
    item = await mesh.create(parent, "x", title="Casablanca", hidden=True)
    for query in ("casablanca", "casab", "cassablanca", ""):
        assert await found(mesh, parent, query, ANN) == []
        assert await found(mesh, parent, query, EDITOR) == ["x"]
    item.hidden = False
    await mesh.update(item, "hidden")
    assert await found(mesh, parent, "casablanca", ANN) == ["x"]


async def test_search_stays_within_its_catalog(mesh: Mesh, parent: str, films: str) -> None:
    for query in ("matrix", "matr", "matirx", ""):
        assert await found(mesh, parent, query) == []


@pytest.mark.parametrize("query", ["film", "number film", ""])
async def test_pages_neither_repeat_nor_drop(mesh: Mesh, parent: str, query: str) -> None:
    many = {f"f{n:02}": {"title": f"Film number {n}", "average_rating": n % 4} for n in range(23)}
    await mesh.import_items(parent, rows(parent, many))
    pages: list[str] = []
    token = ""
    while token or not pages:
        answer = await search(mesh, parent, query, size=5, token=token)
        pages += [result.item.name.rpartition("/")[2] for result in answer.results]
        token = answer.next_page_token
    assert sorted(pages) == sorted(many)
    whole = await search(mesh, parent, query, size=100)
    assert pages == [result.item.name.rpartition("/")[2] for result in whole.results]


async def test_ten_results_by_default_and_a_hundred_at_most(mesh: Mesh, parent: str) -> None:
    many = {f"f{n}": {"title": f"Film {n}"} for n in range(120)}
    await mesh.import_items(parent, rows(parent, many))
    assert len((await search(mesh, parent, "")).results) == 10
    assert len((await search(mesh, parent, "", size=1000)).results) == 100


async def test_token_of_another_query(mesh: Mesh, films: str) -> None:
    token = (await search(mesh, films, "alien", size=1)).next_page_token
    assert token
    for query in ("aliens", ""):
        call = search(mesh, films, query, token=token)
        assert await failure(call) == "INVALID_ARGUMENT INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    "cursor", [["x", "1", "0", "1", "a"], ["1", "x", "0", "1", "a"], ["1", "1", "0", "nan", "a"]]
)
async def test_token_that_holds_no_place(mesh: Mesh, films: str, cursor: list[str]) -> None:
    token = paging.encode(cursor, "SearchItems", films, "alien")
    call = search(mesh, films, "alien", token=token)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_PAGE_TOKEN"


async def test_token_fits_into_a_request_whatever_the_titles_and_ids(
    mesh: Mesh, parent: str
) -> None:
    for end in "ab":
        await mesh.create(parent, "🎬" * 127 + end, title="🎬\x01" * 256, average_rating=1 / 3)
    for query in ("", "🎬"):
        token = (await search(mesh, parent, query, size=1)).next_page_token
        assert len((await search(mesh, parent, query, size=1, token=token)).results) == 1


async def test_longest_query_and_longest_titles(mesh: Mesh, parent: str) -> None:
    # One character that becomes eighteen.
    await mesh.create(parent, "long", title="ﷺ" * 512, alternate_titles=["日" * 512])
    for query in ("ﷺ" * 512, "日" * 512, "!" * 512):
        await search(mesh, parent, query)
    assert await found(mesh, parent, "日" * 512) == ["long"]


async def test_common_trigrams_are_known_after_a_large_import(mesh: Mesh, parent: str) -> None:
    many = {f"f{n:04}": {"title": f"Common words and number {n}"} for n in range(3000)}
    all_rows = rows(parent, many)
    await mesh.import_items(parent, *(all_rows[n : n + 1000] for n in range(0, 3000, 1000)))
    known = await mesh.sql(
        "SELECT 1 FROM pg_stats WHERE tablename = 'titles' AND attname = 'grams' "
        "AND most_common_elems IS NOT NULL"
    )
    assert known
    assert (await found(mesh, parent, "comon words and numbr 1234"))[0] == "f1234"


@pytest.mark.parametrize("query", ["alien", "alein", ""])
async def test_filter_leaves_only_what_it_selects(mesh: Mesh, films: str, query: str) -> None:
    request = SearchItemsRequest(parent=films, query=query, filter="release_year > 1980")
    answer = await mesh.catalogs.SearchItems(request, metadata=ANN)
    assert [result.item.title for result in answer.results] == ["Aliens"]


async def test_filter_that_cannot_be_read(mesh: Mesh, films: str) -> None:
    request = SearchItemsRequest(parent=films, query="alien", filter="year > 1980")
    call = mesh.catalogs.SearchItems(request, metadata=ANN)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FILTER filter"
