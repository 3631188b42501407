import asyncio

import pytest

from recmesh.events.v1.job_events_pb2 import Answer
from recmesh.recommender.v1.recommendation_pb2 import Reason, Result
from recmesh_kit.database import Database
from recmesh_recommender.servicer import MAX_PAGE_BYTES
from services.recommender.tests.conftest import ANN, BOB, EDITOR, Metadata, Replica, failure, sql


async def walk(replica: Replica, metadata: Metadata = ANN, **fields: object) -> list[list[str]]:
    """The names on each page, to the last page."""
    pages, token = [], ""
    while True:
        page = await replica.page(metadata, page_token=token, **fields)
        pages.append([job.name for job in page.recommendations])
        token = page.next_page_token
        if not token:
            return pages


async def test_the_newest_come_first_and_none_twice(replica: Replica) -> None:
    made = [(await replica.create()).name for _ in range(5)]
    newest_first = made[::-1]
    assert await walk(replica, page_size=2) == [newest_first[:2], newest_first[2:4], made[:1]]
    assert await walk(replica, page_size=5) == [newest_first]
    assert await walk(replica) == [newest_first]
    assert await walk(replica, page_size=10_000) == [newest_first]


async def test_what_comes_meanwhile_disturbs_no_page(replica: Replica) -> None:
    made = [(await replica.create()).name for _ in range(4)]
    first = await replica.page(page_size=2)
    await replica.create()
    second = await replica.page(page_size=2, page_token=first.next_page_token)
    names = [job.name for page in (first, second) for job in page.recommendations]
    assert names == made[::-1]


@pytest.mark.parametrize(("user", "session"), [("", ""), ("", "visit"), ("ann", "")])
async def test_pages_neither_repeat_nor_drop_while_jobs_come_and_go(
    replica: Replica, user: str, session: str
) -> None:
    before = [(await replica.create(session="visit")).name for _ in range(12)]
    theirs = [(await replica.create(session="visit", metadata=BOB)).name for _ in range(3)]
    doomed, kept = before[::3], [name for n, name in enumerate(before) if n % 3]

    async def disturb() -> None:
        for name in doomed:
            await replica.delete(name)
            await asyncio.gather(*(replica.create(session="visit") for _ in range(3)))

    async def walk_often() -> None:
        for size in (1, 2, 5):
            pages = await walk(replica, page_size=size, user=user, session=session)
            seen = [name for page in pages for name in page]
            assert len(set(seen)) == len(seen)
            assert [name for name in seen if name in kept] == kept[::-1]
            assert not set(theirs) & set(seen)

    await asyncio.gather(disturb(), walk_often(), walk_often())


async def test_by_session_and_by_user(replica: Replica) -> None:
    visit = await replica.create(session="visit")
    plain = await replica.create()
    theirs = await replica.create(session="visit", metadata=BOB)
    assert await walk(replica, session="visit") == [[visit.name]]
    assert await walk(replica, EDITOR, session="visit") == [[theirs.name, visit.name]]
    assert await walk(replica, EDITOR, user="ann") == [[plain.name, visit.name]]
    assert await walk(replica, EDITOR, user="ann", session="visit") == [[visit.name]]


async def test_a_token_belongs_to_its_listing(replica: Replica) -> None:
    for _ in range(2):
        await replica.create(session="visit")
    token = (await replica.page(page_size=1)).next_page_token
    for fields in ({"session": "visit"}, {"user": "ann"}, {"parent": "catalogs/secret"}):
        call = replica.page(EDITOR, page_token=token, **fields)
        assert await failure(call) == "INVALID_ARGUMENT INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("token", ["x", "!!", "e30", "WyJ4Il0"])
async def test_a_token_that_is_none(replica: Replica, token: str) -> None:
    call = replica.page(page_token=token)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_PAGE_TOKEN"


async def test_a_negative_size_is_refused(replica: Replica) -> None:
    call = replica.page(page_size=-1)
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD page_size"


async def test_long_answers_make_short_pages(replica: Replica, database: Database) -> None:
    long = Reason(type=Reason.TYPE_SIMILAR_TO, cast=["x" * 100] * 30)
    results = [Result(item="catalogs/films/items/x", reasons=[long]) for _ in range(200)]
    answer = Answer(version=1, results=results).SerializeToString()
    made = [(await replica.create()).name for _ in range(8)]
    await sql(
        database,
        "UPDATE recommender.jobs SET state = 3, end_time = now(), answer = :answer",
        answer=answer,
    )
    pages = await walk(replica)
    fitting = MAX_PAGE_BYTES // len(answer)
    assert 1 <= fitting < 8
    assert [name for page in pages for name in page] == made[::-1]
    assert {len(page) for page in pages[:-1]} == {fitting}
