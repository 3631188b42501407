import pytest

from recmesh_worker.engine.titles import TitleIndex


@pytest.fixture
def index() -> TitleIndex:
    index = TitleIndex()
    index.put("alien", "Alien", ["Чужой"], year=1979)
    index.put("aliens", "Aliens", ["Чужие"], year=1986)
    index.put("solaris-72", "Solaris", ["Солярис"], year=1972, popularity=5)
    index.put("solaris-02", "Solaris", year=2002, popularity=9)
    index.put("runner", "Blade Runner", year=1982)
    index.put("runner-2049", "Blade Runner 2049", year=2017)
    index.put("empire", "Star Wars: Episode V - The Empire Strikes Back", year=1980)
    return index


def resolved(index: TitleIndex, query: str) -> str | None:
    found = index.resolve(query)
    return None if found is None else found.item


@pytest.mark.parametrize(
    ("query", "item"),
    [
        ("ALIEN", "alien"),
        ("чужой", "alien"),
        ("Чужие!", "aliens"),
        ("blade runer", "runner"),
        ("runner blade", "runner"),
        ("blade runner 2049", "runner-2049"),
        ("blade runner 1982", "runner"),
        ("empire strikes back", "empire"),
        ("the empire strkes back", "empire"),
    ],
)
def test_a_title_is_found_as_people_type_it(index: TitleIndex, query: str, item: str) -> None:
    assert resolved(index, query) == item


def test_an_exact_title_is_certain_and_a_misspelt_one_is_not(index: TitleIndex) -> None:
    exact, misspelt = index.resolve("alien"), index.resolve("blaed runner")
    assert exact is not None
    assert misspelt is not None
    assert exact.confidence == 1.0
    assert 0.72 <= misspelt.confidence < 1.0
    assert misspelt.title == "Blade Runner"


def test_the_year_decides_between_namesakes_and_then_popularity(index: TitleIndex) -> None:
    assert resolved(index, "Solaris (1972)") == "solaris-72"
    assert resolved(index, "solaris 1972") == "solaris-72"
    assert resolved(index, "solaris") == "solaris-02"


@pytest.mark.parametrize("query", ["", "  ", "qwrtzx plmk", "xyzzy", "zz", "бвгджз", "?"])
def test_nonsense_resolves_to_nothing(index: TitleIndex, query: str) -> None:
    assert index.resolve(query) is None


def test_replaced_titles_are_gone_and_new_ones_found(index: TitleIndex) -> None:
    index.put("alien", "The Thing", year=1982)
    assert resolved(index, "чужой") is None
    assert resolved(index, "thing") == "alien"


def test_a_removed_item_is_not_found(index: TitleIndex) -> None:
    index.remove("runner")
    index.remove("runner")
    assert resolved(index, "blade runner 1982") != "runner"
    assert len(index) == 6


def test_new_popularity_counts_without_new_titles(index: TitleIndex) -> None:
    index.put("solaris-72", "Solaris", ["Солярис"], year=1972, popularity=99)
    assert resolved(index, "solaris") == "solaris-72"


def test_namesakes_of_the_same_year(index: TitleIndex) -> None:
    index.put("copy", "SOLARIS", year=1972)
    assert sorted(index.same_film("Solaris", 1972)) == ["copy", "solaris-72"]


def test_many_changes_leave_the_index_right() -> None:
    index = TitleIndex()
    for turn in range(4):
        for i in range(400):
            index.put(f"i{i}", f"Film Number {i} turn {turn}", year=1990)
    assert len(index) == 400
    assert resolved(index, "film number 77 turn 3") == "i77"
    assert resolved(index, "film number 77 turn 1") != "i78"
    assert len(index._entries) < 1_500


@pytest.mark.parametrize("query", ["Alien", "the ALIEN (1979)", "Чужой", "alien (2001)"])
def test_what_is_there_to_the_letter_surely_resolves(index: TitleIndex, query: str) -> None:
    assert index.has(query)
    assert resolved(index, query) == "alien"


@pytest.mark.parametrize("query", ["alein", "empire strikes back", "blade runner 1982", " "])
def test_what_is_not_there_to_the_letter_has_to_be_looked_for(
    index: TitleIndex, query: str
) -> None:
    assert not index.has(query)


def test_doubles_share_main_title_and_year(index: TitleIndex) -> None:
    index.put("solaris-dvd", "Solaris (1972)", ["Alien"], year=1972)
    index.put("nameless", "", ["Solaris"], year=1972)
    assert sorted(index.doubles("solaris-72")) == ["solaris-72", "solaris-dvd"]
    assert index.doubles("solaris-02") == ["solaris-02"]
    assert index.doubles("unknown") == ["unknown"]
    assert index.doubles("nameless") == index.same_film("", 1972) == []
