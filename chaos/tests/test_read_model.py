"""The comparison of the read model with the catalog sees each difference."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from chaos.read_model import stale
from localmesh.databases import PostgresServer
from recmesh_catalog.models import SCHEMA as CATALOG_SCHEMA
from recmesh_jobs.models import SCHEMA as RECOMMENDER_SCHEMA
from recmesh_kit.migrations import migrate

AGREES = """
    INSERT INTO catalog.catalogs (id, display_name, description, public) VALUES ('chaos', '', '', true);
    INSERT INTO catalog.items (catalog, id, title, original_title, alternate_titles, description, genres, tags,
        release_year, directors, "cast", language, image_uri, hidden, labels, title_folded, genres_folded, tags_folded,
        directors_folded, cast_folded, language_folded, labels_folded, revision, deleted, create_time, update_time)
    SELECT 'chaos', id, 'Title', '', '{}', '', '{}', '{}', 0, '{}', '{}', '', '', false, '{}', '', '{}', '{}', '{}',
        '{}', '', '{}', revision, deleted, now(), now()
    FROM (VALUES ('here', 3, false), ('gone', 4, true)) AS v(id, revision, deleted);
    INSERT INTO recommender.item_index (catalog, encoder, item, revision, seq, deleted, title, original_title,
        alternate_titles, genres, tags, directors, cast_names, language, labels, hidden, popularity, vector)
    SELECT 'chaos', 'e', id, revision, revision, deleted, 'Title', '', '{}', '{}', '{}', '{}', '{}', '', '{}', false,
        likes, ''
    FROM (VALUES ('here', 3, false, 1), ('gone', 4, true, 0)) AS v(id, revision, deleted, likes);
    INSERT INTO catalog.interactions (catalog, id, "user", item, type, event_time, session, attribution_token)
    VALUES ('chaos', '1', 'ada', 'here', 'LIKE', '2026-01-01Z', '', ''),
        ('chaos', '2', 'ada', 'here', 'LIKE', '2026-01-02Z', '', ''),
        ('chaos', '3', 'ada', 'here', 'CLICK', '2026-01-01Z', '', '');
    INSERT INTO recommender.user_history (catalog, user_id, items, types, event_values, event_times, write_times)
    VALUES ('chaos', 'ada', '{here,here}', '{3,2}', '{null,null}',
        ARRAY[extract(epoch FROM '2026-01-02Z'::timestamptz), extract(epoch FROM '2026-01-01Z'::timestamptz)],
        '{2026-01-02Z,2026-01-02Z}');
    INSERT INTO recommender.item_likes (catalog, item, user_id, write_time)
    VALUES ('chaos', 'here', 'ada', '2026-01-02Z');
"""


@pytest.fixture(scope="module")
async def template(postgres: PostgresServer, database_name: str) -> str:
    """The admin's URL of a database with both schemas, which agree."""
    name = f"{database_name}_chaos"
    await postgres.drop_database(name)
    urls = await postgres.create_database(name)
    await migrate(urls["recmesh_catalog"], "recmesh_catalog", CATALOG_SCHEMA)
    await migrate(urls["recmesh_recommender"], "recmesh_jobs", RECOMMENDER_SCHEMA)
    url = postgres.admin_url_of(name)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(AGREES)
    finally:
        await connection.close()
    return url


@pytest.fixture
async def connection(template: str) -> AsyncIterator[asyncpg.Connection]:
    """One whose changes are undone."""
    opened = await asyncpg.connect(template)
    transaction = opened.transaction()
    await transaction.start()
    yield opened
    await transaction.rollback()
    await opened.close()


async def test_a_read_model_that_agrees_has_no_fault(connection: asyncpg.Connection) -> None:
    assert await stale(connection) == []


@pytest.mark.parametrize(
    ("change", "begins"),
    [
        ("DELETE FROM recommender.item_index WHERE item = 'here'", "item here"),
        ("UPDATE recommender.item_index SET revision = 2 WHERE item = 'here'", "item here"),
        ("UPDATE recommender.item_index SET title = 'Other' WHERE item = 'here'", "item here"),
        ("UPDATE recommender.item_index SET vector = NULL WHERE item = 'here'", "item here"),
        ("UPDATE recommender.item_index SET deleted = true WHERE item = 'here'", "item here"),
        ("UPDATE recommender.item_index SET deleted = false WHERE item = 'gone'", "item gone"),
        ("DELETE FROM catalog.items WHERE id = 'here'", "item here"),
        ("DELETE FROM recommender.user_history", "history ada"),
        ("UPDATE recommender.user_history SET types = '{3,1}'", "history ada"),
        ("UPDATE recommender.user_history SET event_times = '{1,2}'", "history ada"),
        ("DELETE FROM catalog.interactions WHERE id = '3'", "history ada"),
        ("DELETE FROM recommender.item_likes", "like here"),
        ("UPDATE recommender.item_index SET popularity = 2 WHERE item = 'here'", "like here"),
        ("UPDATE recommender.item_index SET encoder = 'f' WHERE item = 'here'", "2 encoders"),
        ("INSERT INTO catalog.outbox (routing_key, body) VALUES ('item.chaos', '')", "1 changes"),
    ],
)
async def test_each_difference_is_seen(
    connection: asyncpg.Connection, change: str, begins: str
) -> None:
    await connection.execute(change)
    found = await stale(connection)
    assert found
    assert any(one.startswith(begins) for one in found)
