"""The read model of items: written by indexers, followed by every worker."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from asyncpg import Connection
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_jobs.items import IndexedItem, Vector
from recmesh_jobs.models import SEARCHABLE, index_states, item_index

_FLOAT = np.dtype("<f4")

# Holding this row until the commit is what orders `seq`: see models.py.
_NEXT_SEQ = text(
    "INSERT INTO recommender.index_states (catalog, encoder, last_seq) VALUES (:catalog, :encoder, :count) "
    "ON CONFLICT (catalog, encoder) DO UPDATE SET last_seq = index_states.last_seq + :count "
    "RETURNING last_seq - :count"
)
_UPSERT = text(
    "INSERT INTO recommender.item_index AS i (catalog, encoder, item, revision, seq, deleted, title,"
    " original_title, alternate_titles, genres, tags, directors, cast_names, release_year, language, labels,"
    " hidden, average_rating, popularity, vector) "
    "VALUES (:catalog, :encoder, :item, :revision, :seq, :deleted, :title, :original_title, :alternate_titles,"
    " :genres, :tags, :directors, :cast_names, :release_year, :language, CAST(:labels AS jsonb), :hidden,"
    " :average_rating, (SELECT count(*) FROM recommender.item_likes l WHERE l.catalog = :catalog"
    " AND l.item = :item), :vector) "
    "ON CONFLICT (catalog, encoder, item) DO UPDATE SET revision = excluded.revision, seq = excluded.seq,"
    " deleted = excluded.deleted, title = excluded.title, original_title = excluded.original_title,"
    " alternate_titles = excluded.alternate_titles, genres = excluded.genres, tags = excluded.tags,"
    " directors = excluded.directors, cast_names = excluded.cast_names, release_year = excluded.release_year,"
    " language = excluded.language, labels = excluded.labels, hidden = excluded.hidden,"
    " average_rating = excluded.average_rating, vector = excluded.vector "
    "WHERE i.revision < excluded.revision"
)
_BURY = text(
    "UPDATE recommender.item_index SET deleted = true, vector = NULL, seq = :seq + 1 "
    "WHERE catalog = :catalog AND encoder = :encoder AND NOT deleted"
    " AND item <> ALL(CAST(:kept AS text[]))"
)
_SINCE = """
    SELECT catalog, item, revision, seq, deleted, title, original_title, alternate_titles, genres, tags, directors,
        cast_names AS cast, release_year, language, labels, hidden, average_rating, popularity, vector
    FROM recommender.item_index
    WHERE catalog = $1 AND encoder = $2 AND seq > $3
    ORDER BY seq FETCH FIRST $4 ROWS WITH TIES
"""
_TUPLES = ("alternate_titles", "genres", "tags", "directors", "cast")
_LOCK = "hashtextextended('recommender.item_index ' || :catalog, 0)"
_LOCK_SHARED = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
_LOCK_ALONE = text(f"SELECT pg_advisory_xact_lock({_LOCK})")


class IndexRepository:
    """The items of the read model as one encoder sees them, within one transaction.

    Args:
        session: The transaction.
        encoder: Id of the encoder whose vectors are meant.
    """

    def __init__(self, session: AsyncSession, encoder: str) -> None:
        self._session = session
        self._encoder = encoder

    async def revisions(self, catalog: str, items: Collection[str]) -> Mapping[str, int]:
        """The revision at which each of these items stands in the read model; unknown ones are left out."""
        found = await self._session.execute(
            select(item_index.c.item, item_index.c.revision).where(
                item_index.c.catalog == catalog,
                item_index.c.encoder == self._encoder,
                item_index.c.item.in_(items),
            )
        )
        return {row.item: row.revision for row in found}

    async def hold(self, catalog: str) -> None:
        """Keeps burials of the catalog waiting until the transaction ends: between reading an item at the source and
        writing it here, nobody may bury it.
        """
        await self._session.execute(_LOCK_SHARED, {"catalog": catalog})

    async def hold_alone(self, catalog: str) -> None:
        """Keeps everybody who holds the catalog waiting until the transaction ends, and waits for those who do."""
        await self._session.execute(_LOCK_ALONE, {"catalog": catalog})

    async def upsert(self, catalog: str, items: Sequence[IndexedItem]) -> None:
        """Writes items; their `seq` is given here, and so is the popularity of new ones. One that stands at the same
        revision or a later one stays.
        """
        if not items:
            return
        before = await self._next_seq(catalog, len(items))
        # In one order, though the lock above already lets one writer in at a time.
        rows = [
            self._row(item, before + n)
            for n, item in enumerate(sorted(items, key=lambda item: item.item), 1)
        ]
        await self._session.execute(_UPSERT, rows)

    async def living(self, catalog: str) -> list[str]:
        """The items of a catalog that are no tombstones."""
        found = await self._session.execute(
            select(item_index.c.item).where(
                item_index.c.catalog == catalog,
                item_index.c.encoder == self._encoder,
                ~item_index.c.deleted,
            )
        )
        return list(found.scalars())

    async def bury(self, catalog: str, kept: Collection[str] = ()) -> None:
        """Turns a catalog's items, but for those kept, into tombstones. Revisions go on in a new catalog of that
        name.
        """
        before = await self._next_seq(catalog, 1)
        values = {"catalog": catalog, "encoder": self._encoder, "seq": before, "kept": list(kept)}
        await self._session.execute(_BURY, values)

    async def all_last_seqs(self) -> Mapping[str, int]:
        """How far the read model of every catalog is."""
        found = await self._session.execute(
            select(index_states.c.catalog, index_states.c.last_seq).where(
                index_states.c.encoder == self._encoder
            )
        )
        return {row.catalog: row.last_seq for row in found}

    async def searchable(self, catalog: str) -> tuple[int, int]:
        """How far the read model of a catalog is, and how many items can be recommended at that point: those that are
        embedded, and neither deleted nor hidden. (0, 0) for an unknown one.
        """
        count = (
            select(func.count())
            .where(
                item_index.c.catalog == catalog,
                item_index.c.encoder == self._encoder,
                text(SEARCHABLE),
            )
            .scalar_subquery()
        )
        found = await self._session.execute(
            select(index_states.c.last_seq, count).where(
                index_states.c.catalog == catalog, index_states.c.encoder == self._encoder
            )
        )
        row = found.first()
        return (0, 0) if row is None else (row[0], row[1])

    async def last_seqs(self, catalogs: Collection[str]) -> Mapping[str, int]:
        """How far the read model of each catalog is; unknown ones are left out."""
        found = await self._session.execute(
            select(index_states.c.catalog, index_states.c.last_seq).where(
                index_states.c.encoder == self._encoder, index_states.c.catalog.in_(catalogs)
            )
        )
        return {row.catalog: row.last_seq for row in found}

    async def _next_seq(self, catalog: str, count: int) -> int:
        values = {"catalog": catalog, "encoder": self._encoder, "count": count}
        return int((await self._session.execute(_NEXT_SEQ, values)).scalar_one())

    def _row(self, item: IndexedItem, seq: int) -> dict[str, Any]:
        return {
            "catalog": item.catalog,
            "encoder": self._encoder,
            "item": item.item,
            "revision": item.revision,
            "seq": seq,
            "deleted": item.deleted,
            "title": item.title,
            "original_title": item.original_title,
            "alternate_titles": list(item.alternate_titles),
            "genres": list(item.genres),
            "tags": list(item.tags),
            "directors": list(item.directors),
            "cast_names": list(item.cast),
            "release_year": item.release_year,
            "language": item.language,
            "labels": json.dumps(dict(item.labels)),
            "hidden": item.hidden,
            "average_rating": item.average_rating,
            "vector": None if item.vector is None else item.vector.astype(_FLOAT).tobytes(),
        }


async def since(
    connection: Connection, encoder: str, catalog: str, seq: int, limit: int
) -> list[IndexedItem]:
    """Items written after `seq`, tombstones included, in the order of `seq`.

    Args:
        connection: Of the driver: a worker that starts reads all of them.
        encoder: Id of the encoder whose vectors are meant.
        catalog: The catalog's id.
        seq: The highest `seq` that the reader has seen; 0 for all.
        limit: How many at the least when there are more: items of one `seq` are never torn apart.
    """
    return [_item(row) for row in await connection.fetch(_SINCE, catalog, encoder, seq, limit)]


def _item(row: Mapping[str, Any]) -> IndexedItem:
    values = dict(row)
    for name in _TUPLES:
        values[name] = tuple(values[name])
    values["vector"] = _vector(values["vector"])
    return IndexedItem(**values)


def _vector(stored: bytes | None) -> Vector | None:
    return None if stored is None else np.frombuffer(stored, _FLOAT)
