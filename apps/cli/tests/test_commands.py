from __future__ import annotations

import asyncio
import sys

import grpc
import pytest
from apps.cli.tests.conftest import SECONDS, Recmesh
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sdk.python.tests.fake import Failure, Fake

from recmesh.auth.v1.user_pb2 import User
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    BatchGetItemsResponse,
    ListCatalogsResponse,
    SearchItemsResponse,
    SearchResult,
)
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.interaction_service_pb2 import ListInteractionsResponse
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.recommender.v1.query_pb2 import HistorySeed, Query
from recmesh.recommender.v1.recommendation_pb2 import (
    Reason,
    Recommendation,
    Result,
    Timings,
)

pytestmark = pytest.mark.usefixtures("signed_in")

FILMS = "catalogs/films"
ALIEN = Item(name=f"{FILMS}/items/alien-1979", title="Alien", release_year=1979)
RESULTS = [
    Result(
        item=f"{FILMS}/items/aliens-1986",
        title="Aliens",
        score=0.913,
        reasons=[
            Reason(
                type=Reason.TYPE_SIMILAR_TO,
                item=ALIEN.name,
                title="Alien",
                genres=["Horror"],
                cast=["Sigourney Weaver"],
            ),
            Reason(type=Reason.TYPE_POPULAR),
        ],
    )
]
ANSWER = Recommendation(
    name=f"{FILMS}/recommendations/1",
    state=Recommendation.STATE_SUCCEEDED,
    query=Query(title="alein"),
    resolved_item=ALIEN.name,
    resolved_title="Alien",
    resolve_confidence=0.8,
    filter_relaxed=True,
    results=RESULTS,
    timings=Timings(total=Duration(nanos=5_000_000)),
)


async def test_an_answer_is_said_in_words(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("Recommend", ANSWER)
    done = await recmesh("recommend", "films", "--title", "alein", "--filter", "x:y")
    assert done.code == 0
    first, _, row = done.out.splitlines()
    assert first == (
        "Taken as Alien (alien-1979), 80% sure."
        " Too few passed the filter, so that it was relaxed (--strict keeps to it)."
    )
    assert row.split(maxsplit=4) == [
        *("1", "Aliens", "0.91", "aliens-1986"),
        "like Alien (Sigourney Weaver, Horror); popular",
    ]
    assert done.err == "More: recmesh recommend films --continue 1\n"


async def test_words_that_nothing_comes_close_to_are_told_and_no_reason_is_made_up(
    fake: Fake, recmesh: Recmesh
) -> None:
    result = Result(item=ALIEN.name, title="Alien", score=0.2)
    answer = Recommendation(
        name=ANSWER.name,
        state=Recommendation.STATE_SUCCEEDED,
        query=Query(text="чужой на корабле"),
        resolve_confidence=0.17,
        results=[result],
    )
    fake.script("Recommend", answer)
    done = await recmesh("recommend", "films", "--text", "чужой на корабле")
    first, _, row = done.out.splitlines()
    assert first == "Little comes close to these words (17% sure)."
    assert row.split() == ["1", "Alien", "0.20", "alien-1979", "—"]


@pytest.mark.parametrize(
    ("query", "liked", "line"),
    [
        (Query(title="x"), True, "Nothing is known of what you named: these are popular."),
        (Query(title="x"), False, "Nothing is known of what you named: here is something else."),
        (
            Query(history=HistorySeed()),
            True,
            "Nothing that this person likes is known yet: these are popular and varied.",
        ),
        (
            Query(history=HistorySeed()),
            False,
            "Nothing that this person likes is known yet: these are varied.",
        ),
    ],
)
async def test_only_what_is_popular_is_called_so(
    fake: Fake, recmesh: Recmesh, query: Query, liked: bool, line: str
) -> None:
    reasons = [Reason(type=Reason.TYPE_POPULAR)] if liked else []
    answer = Recommendation(
        name=ANSWER.name,
        state=Recommendation.STATE_SUCCEEDED,
        query=query,
        fallback=Recommendation.FALLBACK_POPULAR,
        results=[Result(item=ALIEN.name, title="Alien", reasons=reasons)],
    )
    fake.script("Recommend", answer)
    assert (await recmesh("recommend", "films", "--title", "x")).out.splitlines()[0] == line


async def test_ids_stay_whole_on_a_narrow_terminal(fake: Fake, recmesh: Recmesh) -> None:
    name = "the-assassination-of-jesse-james-2007"
    long = Item(name=f"{FILMS}/items/{name}", title="The Assassination of Jesse James")
    fake.script("SearchItems", SearchItemsResponse(results=[SearchResult(item=long, score=1)]))
    lines = (await recmesh("search", "films", "jesse", COLUMNS="80")).out.splitlines()
    assert lines[1].split()[-1] == name
    assert max(map(len, lines)) <= 80


async def test_an_id_that_leaves_no_room_is_folded_and_not_cut(
    fake: Fake, recmesh: Recmesh
) -> None:
    long = Item(name=f"{FILMS}/items/{'x' * 100}", title="Long")
    fake.script("SearchItems", SearchItemsResponse(results=[SearchResult(item=long, score=1)]))
    out = (await recmesh("search", "films", "long", COLUMNS="80")).out
    assert out.count("x") == 100


async def test_nothing_that_grpc_logs_is_shown(fake: Fake, recmesh: Recmesh) -> None:
    done = await recmesh("--tls", "--timeout", "300", "search", "films", "a")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert done.err.startswith(f"Error: The catalog service at {fake.target} cannot be reached (")


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        (["--item", "a"], Query(item=f"{FILMS}/items/a")),
        (["--text", "a heist"], Query(text="a heist")),
    ],
)
async def test_ways_of_asking(
    fake: Fake, recmesh: Recmesh, arguments: list[str], query: Query
) -> None:
    fake.script("Recommend", ANSWER)
    assert (await recmesh("recommend", "films", *arguments)).code == 0
    assert fake.calls[0].request.recommendation.query == query


async def test_history_and_all_that_can_be_asked_for(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("Recommend", ANSWER, ANSWER)
    said = (
        "recommend films --history --user u-1 --session s --limit 3 --strict --include-seen"
        " --filter hidden=false --exclude a,b --diversity high"
    )
    assert (await recmesh(*said.split())).code == 0
    asked = fake.calls[0].request.recommendation
    query = asked.query
    assert query.WhichOneof("seed") == "history"
    assert (asked.user, asked.session, query.limit, query.filter) == ("u-1", "s", 3, "hidden=false")
    assert (query.strict_filter, query.include_seen) == (True, True)
    assert list(query.exclude_items) == [f"{FILMS}/items/a", f"{FILMS}/items/b"]
    assert query.diversity == Query.DIVERSITY_HIGH
    assert (await recmesh("recommend", "films", "--items", "a, b")).code == 0
    items = fake.calls[1].request.recommendation.query.items.items
    assert list(items) == [f"{FILMS}/items/a", f"{FILMS}/items/b"]


async def test_an_answer_for_programs(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("Recommend", ANSWER)
    done = await recmesh("recommend", "films", "--title", "alein", "--json")
    assert done.err == ""
    said = done.json
    assert (said["name"], said["state"], said["fallback"]) == (ANSWER.name, "succeeded", "none")
    assert said["resolved_item"] == "alien-1979"
    assert said["timings"]["total"] == 0.005
    assert said["results"][0]["reasons"][0] == {
        "type": "similar_to",
        "item": "alien-1979",
        "title": "Alien",
        "genres": ["Horror"],
        "directors": [],
        "cast": ["Sigourney Weaver"],
    }


async def test_again_without_what_was_shown(fake: Fake, recmesh: Recmesh) -> None:
    queued = Recommendation(name=f"{FILMS}/recommendations/2", state=Recommendation.STATE_QUEUED)
    ended = Recommendation(
        name=queued.name, state=Recommendation.STATE_SUCCEEDED, results=RESULTS, query=ANSWER.query
    )
    fake.script("ContinueRecommendation", queued)
    fake.script("WatchRecommendation", [queued, ended])
    done = await recmesh("recommend", "films", "--continue", "1", "--limit", "2")
    assert (done.code, "Aliens" in done.out) == (0, True)
    asked = fake.calls[0].request
    assert (asked.name, asked.limit) == (ANSWER.name, 2)
    assert "--continue 2" in done.err


async def test_at_the_end_of_the_catalog_there_is_nothing_more(
    fake: Fake, recmesh: Recmesh
) -> None:
    ended = Recommendation(
        name=f"{FILMS}/recommendations/3", state=ANSWER.state, continues=ANSWER.name
    )
    fake.script("ContinueRecommendation", ended)
    fake.always("WatchRecommendation", lambda _: ended)
    done = await recmesh("recommend", "films", "--continue", ANSWER.name)
    assert (done.code, done.out, done.err) == (0, "There is nothing more.\n", "")


@pytest.mark.parametrize(
    ("fallback", "query", "said"),
    [
        (Recommendation.FALLBACK_POPULAR, Query(title="x"), "these are popular."),
        (Recommendation.FALLBACK_POPULAR, Query(history=HistorySeed()), "popular and varied"),
        (Recommendation.FALLBACK_TEXT, Query(title="x"), "match its words"),
    ],
)
async def test_what_answered_instead_is_said(
    fake: Fake,
    recmesh: Recmesh,
    fallback: Recommendation.Fallback.ValueType,
    query: Query,
    said: str,
) -> None:
    answer = Recommendation(
        name=ANSWER.name, state=ANSWER.state, query=query, fallback=fallback, results=RESULTS
    )
    fake.script("Recommend", answer)
    assert said in (await recmesh("recommend", "films", "--title", "x")).out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--title", "a", "--history"],
        ["--continue", "1", "--filter", "a"],
        ["--limit", "0", "--title", "a"],
        ["--diversity", "some", "--title", "a"],
        ["--nothing"],
    ],
)
async def test_what_makes_no_sense_ends_with_2(
    fake: Fake, recmesh: Recmesh, arguments: list[str]
) -> None:
    done = await recmesh("recommend", "films", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert not fake.calls


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (
            Failure(
                grpc.StatusCode.INVALID_ARGUMENT,
                "INVALID_FILTER",
                "Not valid.",
                fields={"query.filter": "column 3: no such field"},
            ),
            "Error: Not valid. query.filter: column 3: no such field.\n",
        ),
        (
            Failure(
                grpc.StatusCode.INVALID_ARGUMENT,
                "INVALID_FILTER",
                "filter: not one of a, b, c…",
                fields={"filter": "not one of a, b…"},
            ),
            "Error: filter: not one of a, b, c….\n",
        ),
        (
            Failure(grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED", "An editor's."),
            "Error: An editor's. Ask an admin for a role that may do this.\n",
        ),
        (
            Failure(grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED", "Not yet."),
            "Error: Not yet. This deployment does not serve it yet.\n",
        ),
        (
            Failure(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "JOB_NOT_FINISHED",
                "Too late.",
                metadata={"recommendation": "catalogs/films/recommendations/9"},
            ),
            "Error: Too late. The job goes on: catalogs/films/recommendations/9.\n",
        ),
        (
            Failure(grpc.StatusCode.INTERNAL, "INTERNAL", "A defect."),
            "Error: A defect. This is a defect of the service: tell its operator. Request r-1.\n",
        ),
    ],
)
async def test_errors_are_a_line_that_says_what_to_do(
    fake: Fake, recmesh: Recmesh, failure: Failure, line: str
) -> None:
    fake.script("Recommend", failure)
    done = await recmesh("recommend", "films", "--title", "a")
    assert (done.code, done.err, done.out) == (1, line, "")


async def test_nobody_there_is_a_line(recmesh: Recmesh, fake: Fake) -> None:
    await fake.stop()
    done = await recmesh("--timeout", "300", "search", "films", "a")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Error: The catalog service at {fake.target} cannot be reached (")
    assert done.err.count("\n") == 1


async def test_a_search(fake: Fake, recmesh: Recmesh) -> None:
    found = SearchItemsResponse(
        results=[SearchResult(item=ALIEN, score=0.8, matched_title="Чужой")]
    )
    fake.script("SearchItems", found, found, SearchItemsResponse())
    done = await recmesh("search", "films", "alein", "--filter", "a:b", "--limit", "5")
    assert done.out.splitlines()[1].split(maxsplit=4) == [
        *("Alien", "(Чужой)", "1979", "0.80", "alien-1979"),
    ]
    asked = fake.calls[0].request
    assert (asked.query, asked.filter, asked.page_size) == ("alein", "a:b", 5)
    said = (await recmesh("search", "films", "alein", "--json")).json
    assert said["results"][0]["item"]["title"] == "Alien"
    assert "Nothing is called so." in (await recmesh("search", "films", "zzz")).out


async def test_items_without_a_query_have_no_fit(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("SearchItems", SearchItemsResponse(results=[SearchResult(item=ALIEN)]))
    row = (await recmesh("search", "films", "")).out.splitlines()[1]
    assert row.split() == ["Alien", "1979", "alien-1979"]


async def test_what_steers_a_terminal_is_not_shown(fake: Fake, recmesh: Recmesh) -> None:
    bad = Item(name=f"{FILMS}/items/x", title="\x1b]0;owned\x07[red]\nAlien")
    fake.script("SearchItems", SearchItemsResponse(results=[SearchResult(item=bad)]))
    out = (await recmesh("search", "films", "a")).out
    assert "\x1b" not in out
    assert "[red] Alien" in out


async def test_history_the_newest_first(fake: Fake, recmesh: Recmesh) -> None:
    rows = [
        Interaction(
            name=f"{FILMS}/interactions/1",
            item=ALIEN.name,
            type=Interaction.TYPE_RATING,
            value=4.5,
            event_time=Timestamp(seconds=1_700_000_000),
        ),
        Interaction(item=f"{FILMS}/items/gone", type=Interaction.TYPE_LIKE),
    ]
    answer = ListInteractionsResponse(interactions=rows)
    fake.script("GetUser", User(name="users/u-1"))
    fake.script("ListInteractions", answer, answer)
    fake.always("BatchGetItems", lambda _: BatchGetItemsResponse(items=[ALIEN]))
    done = await recmesh("history", "films", TZ="UTC")
    _, rated, liked = done.out.splitlines()
    assert rated.split() == ["2023-11-14", "22:13", "rating", "4.5", "Alien", "alien-1979"]
    assert liked.split()[0] == "like"
    assert "(not in the catalog)" in liked
    assert fake.of("ListInteractions")[0].request.user == "u-1"
    said = (await recmesh("history", "films", "--user", "u-2", "--json")).json
    assert said["interactions"][0]["value"] == 4.5
    assert fake.of("ListInteractions")[1].request.user == "u-2"


async def test_opinions_are_written(fake: Fake, recmesh: Recmesh) -> None:
    fake.always("GetItem", lambda _: ALIEN)
    fake.script("WriteInteraction", Interaction(), Interaction(), Interaction())
    like = await recmesh("like", "films", "alien-1979")
    assert like.out == "Liked Alien (alien-1979).\n"
    await recmesh("dislike", "films", "alien-1979", "--user", "u-2")
    rate = await recmesh("rate", "films", "alien-1979", "4.5", "--attribution-token", "at")
    assert rate.out == "Rated 4.5: Alien (alien-1979).\n"
    one, two, three = (call.request.interaction for call in fake.of("WriteInteraction"))
    assert (one.type, one.item) == (Interaction.TYPE_LIKE, ALIEN.name)
    assert (two.type, two.user) == (Interaction.TYPE_DISLIKE, "u-2")
    assert (three.type, three.value, three.attribution_token) == (
        Interaction.TYPE_RATING,
        4.5,
        "at",
    )


async def test_a_mistyped_item_is_not_liked(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("GetItem", Failure(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", "No x."))
    done = await recmesh("like", "films", "x")
    expected = "Error: No x. recmesh search films finds its id by title.\n"
    assert (done.code, done.err) == (1, expected)


async def test_there_is_nothing_to_search_in_a_catalog_that_is_not_there(
    fake: Fake, recmesh: Recmesh
) -> None:
    there_is_none = {"resource": FILMS}
    code = grpc.StatusCode.NOT_FOUND
    fake.script("GetItem", Failure(code, "RESOURCE_NOT_FOUND", "None.", metadata=there_is_none))
    done = await recmesh("like", "films", "x")
    assert (done.code, done.err) == (1, "Error: None.\n")


async def test_catalogs_are_listed(fake: Fake, recmesh: Recmesh) -> None:
    films = Catalog(name=FILMS, display_name="Films", item_count=1200, searchable_item_count=7)
    fake.always("ListCatalogs", lambda _: ListCatalogsResponse(catalogs=[Catalog(name=FILMS)]))
    fake.always("GetCatalog", lambda _: films)
    row = (await recmesh("catalogs")).out.splitlines()[1]
    assert row.split()[:2] == ["films", "Films"]
    assert row.split()[-2:] == ["1,200", "7"]
    assert (await recmesh("catalogs", "--json")).json["catalogs"][0]["id"] == "films"


async def test_help_needs_no_sdk_and_no_pyarrow(recmesh: Recmesh) -> None:
    done = await recmesh("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    for heavy in ("grpc", "pyarrow", "recmesh_client", "sqlite3"):
        assert f" {heavy}\n" not in done.err
    assert "import" in done.out


async def test_colours_go_to_terminals_only(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("Recommend", ANSWER)
    done = await recmesh("recommend", "films", "--title", "a")
    assert "\x1b" not in done.out + done.err


async def test_a_reader_that_goes_away_is_no_error(fake: Fake, environment: dict[str, str]) -> None:
    fake.script("Recommend", ANSWER)
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m recmesh_cli recommend films --title a --json | true",
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert err == b""


async def test_one_address_for_all(fake: Fake, recmesh: Recmesh) -> None:
    fake.script("ListCatalogs", ListCatalogsResponse())
    done = await recmesh("--target", fake.target, "catalogs", RECMESH_CATALOG_TARGET="localhost:1")
    assert done.code == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--certificate", "me.pem"], 2), (["--ca", "none.pem"], 1), (["--timeout", "0"], 2)],
)
async def test_what_connects_to_nothing(
    fake: Fake, recmesh: Recmesh, options: list[str], code: int
) -> None:
    done = await recmesh(*options, "catalogs")
    assert (done.code, bool(done.err)) == (code, True)
    assert not fake.calls
