import pytest

from localmesh.databases import PostgresServer
from recmesh_catalog.models import SCHEMA, tables
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.migrations import migrate
from recmesh_kit.migrations.differences import differences
from recmesh_kit.readiness import Tables


async def test_tables_are_what_the_models_say(database_urls: dict[str, str]) -> None:
    assert await differences(database_urls["recmesh_catalog"], tables) == []


async def test_not_ready_before_the_tables_are_there(
    postgres: PostgresServer, database_name: str
) -> None:
    url = (await postgres.create_database(f"{database_name}_empty"))["recmesh_catalog"]
    async with Database(url, pool_size=1, timeout_seconds=60, application_name="test") as database:
        check = Tables(database, "recmesh_catalog", SCHEMA).check
        with pytest.raises(Unavailable, match="not up to date"):
            await check()
        await migrate(url, "recmesh_catalog", SCHEMA)
        await check()
