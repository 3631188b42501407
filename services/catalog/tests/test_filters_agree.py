"""SQL over stored items and masks over the same items in memory must select the same ones."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recmesh_catalog.items.filtering import folded
from recmesh_catalog.items.item import Item
from recmesh_catalog.items.repository import ItemRepository
from recmesh_kit.filters import mask
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.filters.tree import Condition
from services.catalog.tests.conftest import Mesh

# Few, so that they meet; with what LIKE, JSON, arrays and case folding could take amiss.
WORDS = [
    *("a", "A", "ab", "Ba", "ß", "SS", "é", "e\u0301", "Я", "я"),
    *("%", "_a", "a*b", "\\", '"', "{a,b}", "null", "🎬"),
]
YEARS = [0, 1000, 1979, 1980, 3000]
RATINGS = [None, 0.0, 0.1, 4.5, 1e6]
KEYS = ["k", "K", "a.b", "k'"]

words = st.sampled_from(WORDS)
lists = st.lists(words, max_size=3, unique=True)
items = st.builds(
    Item,
    id=st.just(""),
    title=words,
    genres=lists,
    tags=lists,
    directors=lists,
    cast=lists,
    release_year=st.sampled_from(YEARS),
    language=st.sampled_from(["", "en", "EN", "pt-BR"]),
    average_rating=st.sampled_from(RATINGS),
    hidden=st.booleans(),
    labels=st.dictionaries(st.sampled_from(KEYS), words | st.just(""), max_size=2),
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*") + '"'


def wild(text: str, start: bool, end: bool) -> str:
    return f'"{"*" * start}{quoted(text)[1:-1]}{"*" * end}"'


def restriction(
    fields: list[str], operators: str, values: st.SearchStrategy[str]
) -> st.SearchStrategy[str]:
    parts = st.tuples(st.sampled_from(fields), st.sampled_from(operators.split()), values)
    return parts.map(" ".join)


texts = words.map(quoted)
patterns = st.builds(wild, words, st.booleans(), st.booleans()) | st.just("*")
labels = [f"labels.{quoted(key)}" for key in KEYS]
comparisons = st.one_of(
    restriction(["title", "language", *labels], "= != < <= > >= :", texts),
    restriction(["title", "language", *labels], "= != :", patterns),
    restriction(["genres", "tags", "directors", "cast"], ":", texts | patterns),
    restriction(["labels"], ":", st.sampled_from([*map(quoted, KEYS), "*"])),
    restriction(labels, "= != >= <", st.just('""')),
    restriction(["release_year"], "= != < <= > >= :", st.sampled_from([*map(str, YEARS), "-1"])),
    restriction(["release_year", "average_rating", "hidden"], ": = !=", st.just("*")),
    restriction(
        ["average_rating"], "= != < <= > >= :", st.sampled_from(["0", "0.1", "4.5", "1e6"])
    ),
    restriction(["hidden"], "= != :", st.sampled_from(["true", "false"])),
    texts | patterns,
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        inner.map("NOT ({})".format),
        st.tuples(inner, inner).map("({0[0]} AND {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} OR {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} {0[1]})".format),
    ),
    max_leaves=6,
)


@dataclass
class Columns:
    """Items as a worker keeps them."""

    kept: list[Item]

    def __post_init__(self) -> None:
        self.rows = len(self.kept)
        self.folded = [folded(item) for item in self.kept]

    def texts(self, field: str) -> mask.Texts:
        values = [row[f"{field}_folded"] for row in self.folded]
        return mask.Texts.of([v] * bool(v) if isinstance(v, str) else v for v in values)

    def label(self, field: str, key: str) -> mask.Texts:
        found = (row["labels_folded"].get(key) for row in self.folded)
        return mask.Texts.of([] if value is None else [value] for value in found)

    def labelled(self, field: str) -> mask.Mask:
        return np.array([bool(item.labels) for item in self.kept], np.bool_)

    def numbers(self, field: str) -> NDArray[np.float64]:
        values = (getattr(item, field) for item in self.kept)
        missing = (None, 0) if field == "release_year" else (None,)
        return np.array([np.nan if v in missing else v for v in values], np.float64)

    def flags(self, field: str) -> mask.Mask:
        return np.array([getattr(item, field) for item in self.kept], np.bool_)

    def times(self, field: str) -> NDArray[np.datetime64]:
        raise AssertionError("items are not filtered by time")


async def by_sql(
    mesh: Mesh, catalog: str, kept: list[Item], conditions: list[Condition]
) -> list[list[str]]:
    """What SQL selects of these items, which are not kept."""
    async with mesh.database.transaction() as session:
        repository = ItemRepository(session, catalog)
        await repository.write(kept)
        pages = [await repository.page(None, 99, where=c, with_hidden=True) for c in conditions]
        await session.rollback()
    return [[item.id for item in page] for page in pages]


def by_mask(kept: list[Item], condition: Condition) -> list[str]:
    selected = mask.select(condition, Columns(kept))
    return [item.id for item, chosen in zip(kept, selected, strict=True) if chosen]


@pytest.fixture(scope="module")
async def catalog(mesh: Mesh) -> str:
    return (await mesh.catalog()).partition("/")[2]


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(items, max_size=20), comparisons, filters)
async def test_sql_and_mask_select_the_same(
    mesh: Mesh, catalog: str, made: list[Item], one: str, several: str
) -> None:
    kept = [replace(item, id=f"{n:02}") for n, item in enumerate(made)]
    # A third outcome would show in neither a filter nor its opposite.
    conditions = [read(text, ITEMS) for text in (one, f"NOT {one}", several, f"NOT ({several})")]
    wanted = [condition for condition in conditions if condition is not None]
    expected = [by_mask(kept, condition) for condition in wanted]
    assert await by_sql(mesh, catalog, kept, wanted) == expected
