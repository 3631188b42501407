"""The recommender's read model against the catalog's own tables: what has not come, or has come wrong."""

from __future__ import annotations

import asyncpg

from chaos.asking import CATALOG

# Each yields a line for each fault. A deleted item may never have come to the read model.
_ITEMS = """
    SELECT coalesce(c.id, i.item), c.revision, c.deleted, i.revision, i.deleted
    FROM (SELECT * FROM catalog.items WHERE catalog = $1) c
    FULL JOIN (SELECT * FROM recommender.item_index WHERE catalog = $1) i ON i.item = c.id
    WHERE CASE
        WHEN c.id IS NULL THEN NOT i.deleted
        WHEN i.item IS NULL THEN NOT c.deleted
        WHEN c.deleted THEN NOT i.deleted OR i.revision <> c.revision
        ELSE i.deleted OR i.revision <> c.revision OR i.title <> c.title OR i.vector IS NULL
    END
"""
_HISTORIES = """
    WITH told AS (
        SELECT "user", item, type, max(event_time) AS at FROM catalog.interactions WHERE catalog = $1
        GROUP BY "user", item, type
    ),
    known AS (
        SELECT h.user_id, e.item, (ARRAY['VIEW', 'CLICK', 'LIKE', 'DISLIKE', 'RATING', 'BOOKMARK', 'PURCHASE'])[e.type]
            AS type, to_timestamp(e.time) AS at
        FROM recommender.user_history h, unnest(h.items, h.types, h.event_times) AS e(item, type, time)
        WHERE h.catalog = $1
    )
    SELECT coalesce(t."user", k.user_id), coalesce(t.item, k.item), coalesce(t.type, k.type), t.at, k.at
    FROM told t FULL JOIN known k ON k.user_id = t."user" AND k.item = t.item AND k.type = t.type
    WHERE t.at IS NULL OR k.at IS NULL OR abs(extract(epoch FROM t.at - k.at)) > 0.001
"""
_LIKES = """
    WITH told AS (
        SELECT DISTINCT item, "user" FROM catalog.interactions
        WHERE catalog = $1 AND type IN ('VIEW', 'LIKE', 'BOOKMARK', 'PURCHASE')
    ),
    known AS (SELECT item, user_id FROM recommender.item_likes WHERE catalog = $1),
    counted AS (SELECT item, count(*) AS people FROM known GROUP BY item)
    SELECT coalesce(t.item, k.item), coalesce(t."user", k.user_id), NULL
    FROM told t FULL JOIN known k ON k.item = t.item AND k.user_id = t."user"
    WHERE t.item IS NULL OR k.item IS NULL
    UNION ALL
    SELECT i.item, 'popularity ' || i.popularity, coalesce(c.people, 0)::text
    FROM recommender.item_index i LEFT JOIN counted c ON c.item = i.item
    WHERE i.catalog = $1 AND i.popularity <> coalesce(c.people, 0)
"""
_ENCODERS = "SELECT count(DISTINCT encoder) FROM recommender.item_index WHERE catalog = $1"
_OUTBOX = "SELECT count(*) FROM catalog.outbox"


async def stale(connection: asyncpg.Connection) -> list[str]:
    """What the read model lacks, or has and should not; empty when the two agree. Once nothing changes any more.

    Args:
        connection: As the database's admin.
    """
    found = [
        f"{what} {', '.join(map(str, row))}"
        for what, query in (("item", _ITEMS), ("history", _HISTORIES), ("like", _LIKES))
        for row in await connection.fetch(query, CATALOG)
    ]
    if (encoders := await connection.fetchval(_ENCODERS, CATALOG)) != 1:
        found.append(f"{encoders} encoders")
    if waiting := await connection.fetchval(_OUTBOX):
        found.append(f"{waiting} changes wait in the outbox")
    return found
