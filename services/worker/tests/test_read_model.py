import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from localmesh.databases import PostgresServer
from recmesh_jobs.index_repository import IndexRepository
from recmesh_kit.database import Database
from recmesh_worker.read_model import PAGE, ReadModel
from services.worker.tests.conftest import WAIT_SECONDS, WordEncoder, indexed, put


class Opener(Protocol):
    def __call__(self, limit_bytes: int = ..., encoder_id: str = ...) -> ReadModel: ...


@pytest.fixture
async def opened(database: Database, encoder: WordEncoder) -> AsyncIterator[Opener]:
    models = []

    def open_one(limit_bytes: int = 10**9, encoder_id: str = encoder.id) -> ReadModel:
        models.append(
            ReadModel(
                database,
                encoder=encoder_id,
                dimensions=encoder.dimensions,
                limit_bytes=limit_bytes,
            )
        )
        return models[-1]

    yield open_one
    for model in models:
        await model.aclose()


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def model(opened: Opener) -> ReadModel:
    return opened(10**9)


async def test_a_catalog_is_loaded_when_it_is_first_asked_for(
    model: ReadModel, database: Database, encoder: WordEncoder, catalog: str
) -> None:
    names = [f"film-{n}" for n in range(PAGE + 3)]
    await put(database, encoder, *(indexed(catalog, name) for name in names))
    assert model.loaded(catalog) is None
    memories = await asyncio.gather(*(model.load(catalog) for _ in range(5)))
    assert len({id(memory) for memory in memories}) == 1
    assert model.loaded(catalog) is memories[0]
    assert len(memories[0]) == PAGE + 3


async def test_catalogs_are_loaded_before_anybody_asks(
    opened: Opener, database: Database, catalog: str
) -> None:
    encoder = WordEncoder(catalog)
    names = [f"{catalog}-{n}" for n in range(3)]
    for name in names:
        await put(database, encoder, indexed(name, "alien"))
    model = opened(10**9, encoder.id)
    await model.preload(WAIT_SECONDS)
    assert all(model.loaded(name) is not None for name in names)
    size = (await model.load(names[0])).memory_bytes
    small = opened(2 * size, encoder.id)
    await small.preload(WAIT_SECONDS)
    assert sum(small.loaded(name) is not None for name in names) == 2
    late = opened(10**9, encoder.id)
    await late.preload(0)
    assert len(await late.load(names[0])) == 1


async def test_without_tables_nothing_is_loaded_before_anybody_asks(
    postgres: PostgresServer, database_name: str, encoder: WordEncoder
) -> None:
    urls = await postgres.create_database(f"{database_name}_empty")
    async with Database(
        urls["recmesh_worker"], pool_size=1, timeout_seconds=60, application_name="test"
    ) as empty:
        model = ReadModel(
            empty, encoder=encoder.id, dimensions=encoder.dimensions, limit_bytes=10**9
        )
        await model.preload(WAIT_SECONDS)
        await model.aclose()


async def test_a_catalog_that_nobody_has_indexed_is_empty_and_followed(
    model: ReadModel, database: Database, encoder: WordEncoder, catalog: str
) -> None:
    memory = await model.load(catalog)
    assert len(memory) == 0
    await put(database, encoder, indexed(catalog, "alien"))
    await model.follow()
    assert memory.row_of("alien") is not None


async def test_changes_are_followed_by_seq(
    model: ReadModel, database: Database, encoder: WordEncoder, catalog: str
) -> None:
    await put(database, encoder, indexed(catalog, "alien"), indexed(catalog, "heat"))
    memory = await model.load(catalog)
    await put(
        database,
        encoder,
        indexed(catalog, "alien", 2, title="Aliens"),
        indexed(catalog, "heat", 2, deleted=True),
        indexed(catalog, "ronin"),
    )
    await model.follow()
    row = memory.row_of("alien")
    assert row is not None
    assert memory.row(row).item.title == "Aliens"
    assert memory.row_of("heat") is None
    assert memory.row_of("ronin") is not None


async def test_numbers_that_no_item_has_are_not_looked_for_again(
    model: ReadModel, database: Database, encoder: WordEncoder, catalog: str
) -> None:
    await put(database, encoder, indexed(catalog, "alien", 2))
    memory = await model.load(catalog)
    await put(database, encoder, indexed(catalog, "alien", 1))
    await model.follow()
    async with database.transaction() as session:
        latest = await IndexRepository(session, encoder.id).last_seqs([catalog])
    assert memory.last_seq == latest[catalog] == 2


async def test_the_catalog_that_was_used_longest_ago_goes_first(
    opened: Opener, database: Database, encoder: WordEncoder, catalog: str
) -> None:
    catalogs = [f"{catalog}-{n}" for n in range(3)]
    for name in catalogs:
        await put(database, encoder, indexed(name, "alien"))
    size = (await opened(10**9).load(catalogs[0])).memory_bytes
    model = opened(2 * size)
    held = await model.load(catalogs[0])
    await model.load(catalogs[1])
    assert model.loaded(catalogs[0]) is held
    await model.load(catalogs[2])
    assert [model.loaded(name) is not None for name in catalogs] == [True, False, True]
    # Who has one in hand goes on with it; who asks anew loads it anew.
    assert len(await model.load(catalogs[1])) == 1


async def test_a_catalog_that_grows_drives_others_out(
    opened: Opener, database: Database, encoder: WordEncoder, catalog: str
) -> None:
    small, growing = f"{catalog}-small", f"{catalog}-growing"
    await put(database, encoder, indexed(small, "alien"))
    size = (await opened(10**9).load(small)).memory_bytes
    model = opened(3 * size)
    await model.load(small)
    await model.load(growing)
    await put(database, encoder, *(indexed(growing, f"film-{n}") for n in range(600)))
    await model.follow()
    assert model.loaded(small) is None
    assert model.loaded(growing) is not None
