from collections.abc import AsyncIterator

import pytest

from localmesh.databases import PostgresServer
from recmesh_jobs.intake import REDISPATCH_SECONDS
from recmesh_jobs.models import SCHEMA
from recmesh_jobs.states import Lane
from recmesh_kit.database import Database
from recmesh_kit.migrations import migrate


@pytest.fixture(scope="session")
async def urls(postgres: PostgresServer, database_name: str) -> dict[str, str]:
    """A migrated database: role to URL."""
    urls = await postgres.create_database(f"{database_name}_jobs")
    await migrate(urls["recmesh_recommender"], "recmesh_jobs", SCHEMA)
    return urls


@pytest.fixture(scope="session")
async def database(urls: dict[str, str]) -> AsyncIterator[Database]:
    """That database, as the recommender."""
    async with Database(
        urls["recmesh_recommender"], pool_size=5, timeout_seconds=60, application_name="test"
    ) as opened:
        yield opened


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored just now is not due for long, however slow the machine."""
    for lane in Lane:
        monkeypatch.setitem(REDISPATCH_SECONDS, lane, 3600)
