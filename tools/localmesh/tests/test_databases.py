import asyncio

import aiormq
import asyncpg
import pytest

from localmesh.databases import PostgresServer
from recmesh_kit import provision


async def test_each_role_reaches_its_schema(postgres: PostgresServer, database_name: str) -> None:
    urls = await postgres.create_database(f"{database_name}_roles")
    for role, url in urls.items():
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT current_user") == role
        assert await connection.fetchval("SELECT current_schema()") in provision.SCHEMAS.values()
        await connection.close()
    await postgres.drop_database(f"{database_name}_roles")


async def test_nobody_else_may_connect(postgres: PostgresServer, database_name: str) -> None:
    stranger = f"stranger_{database_name}"
    await postgres.create_database(f"{database_name}_closed")
    admin = await asyncpg.connect(postgres.admin_url)
    await admin.execute(f"CREATE ROLE {stranger} LOGIN PASSWORD 'known'")
    url = provision.role_urls(postgres.admin_url_of(f"{database_name}_closed"), {stranger: "known"})
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url[stranger])
    await postgres.drop_database(f"{database_name}_closed")
    await admin.execute(f"DROP ROLE {stranger}")
    await admin.close()


async def test_provisioning_again_changes_nothing(
    postgres: PostgresServer, database_name: str
) -> None:
    name = f"{database_name}_again"
    first = await postgres.create_database(name)
    owner = await asyncpg.connect(first["recmesh_auth"])
    await owner.execute("CREATE TABLE kept (id int)")
    await owner.close()
    again = await postgres.create_database(name)
    assert again == first
    owner = await asyncpg.connect(again["recmesh_auth"])
    assert await owner.fetchval("SELECT count(*) FROM kept") == 0
    await owner.close()
    await postgres.drop_database(name)


async def test_template_is_built_once_and_copied(
    postgres: PostgresServer, database_name: str
) -> None:
    name = f"{database_name}_template"
    builds = 0

    async def build(urls: dict[str, str]) -> None:
        nonlocal builds
        builds += 1
        owner = await asyncpg.connect(urls["recmesh_catalog"])
        await owner.execute("CREATE TABLE migrated (id int)")
        await owner.close()

    await asyncio.gather(*(postgres.template(name, build) for _ in range(3)))
    assert builds == 1
    urls = await postgres.create_database(f"{database_name}_copy", template=name)
    owner = await asyncpg.connect(urls["recmesh_catalog"])
    assert await owner.fetchval("SELECT count(*) FROM migrated") == 0
    await owner.close()
    await postgres.drop_database(f"{database_name}_copy")


async def test_vhost_is_empty_and_takes_connections(amqp_url: str) -> None:
    connection = await aiormq.connect(amqp_url)
    channel = await connection.channel()
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await channel.queue_declare("anything", passive=True)
    await connection.close()
