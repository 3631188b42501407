"""Whether the migrations make what the models say: for tests."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool


async def differences(url: str, metadata: MetaData) -> list[object]:
    """What alembic would change in a migrated database to make it what the models say; partitions do not count.

    Args:
        url: `postgresql://…` of the schema's owner.
        metadata: The models', with their schema.
    """
    # With the schema on the search path, alembic would see its tables as in no schema.
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": "public"}},
    )
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_compare, metadata)
    finally:
        await engine.dispose()


def _compare(connection: Connection, metadata: MetaData) -> list[object]:
    def included(
        thing: object, name: str | None, kind: str, reflected: bool, other: object
    ) -> bool:
        # Tables that only the database has are partitions, and alembic's own.
        return not (kind == "table" and reflected and other is None)

    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == metadata.schema,
            "include_object": included,
            "compare_type": True,
            "compare_server_default": True,
        },
    )
    return list(compare_metadata(context, metadata))
