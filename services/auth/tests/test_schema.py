from recmesh_auth.models import SCHEMA, Base
from recmesh_kit import migrations
from recmesh_kit.database import Database
from recmesh_kit.migrations.differences import differences


async def test_migrated_tables_are_those_of_the_models(database_url: str) -> None:
    assert await differences(database_url, Base.metadata) == []


async def test_second_migration_changes_nothing(database_url: str, database: Database) -> None:
    await migrations.migrate(database_url, "recmesh_auth", SCHEMA)
    assert await migrations.is_current(database, "recmesh_auth", SCHEMA)
    assert await differences(database_url, Base.metadata) == []
