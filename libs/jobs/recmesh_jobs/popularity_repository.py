"""How many people like each item, counted from events that may come twice, late and in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

BURIED = 5_000
"""Likes that are buried in one statement."""

Like = tuple[str, str]
"""An item's id and a person's."""

# The rows of `index_states` are locked first, as whoever writes items does: a like and the first writing of its item
# then see each other, in whichever order they come. There is one row an encoder, and all count the same likes.
_BEGIN = text(
    "INSERT INTO recommender.index_states (catalog, encoder, last_seq) VALUES (:catalog, :encoder, 0) "
    "ON CONFLICT DO NOTHING"
)
_LOCK = text(
    "SELECT encoder FROM recommender.index_states WHERE catalog = :catalog ORDER BY encoder FOR UPDATE"
)
_REMEMBER = text(
    "INSERT INTO recommender.item_likes AS l (catalog, item, user_id, write_time) "
    "SELECT :catalog, v.* FROM unnest(CAST(:items AS text[]), CAST(:people AS text[]),"
    " CAST(:times AS timestamptz[])) AS v "
    "ON CONFLICT (catalog, item, user_id) DO UPDATE SET write_time = excluded.write_time"
    " WHERE l.write_time < excluded.write_time "
    # A row that was there already carries the mark of its lock.
    "RETURNING CASE WHEN xmax = 0 THEN item END"
)
_FORGET = text(
    "DELETE FROM recommender.item_likes WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM recommender.item_likes WHERE catalog = :catalog"
    " AND (CAST(:before AS timestamptz) IS NULL OR write_time < :before) LIMIT :most)) RETURNING item"
)
_COUNT = text(
    "UPDATE recommender.item_index i SET popularity = i.popularity + v.people, seq = s.last_seq + v.place "
    "FROM unnest(CAST(:items AS text[]), CAST(:people AS integer[])) WITH ORDINALITY AS v(item, people, place),"
    " recommender.index_states s "
    "WHERE s.catalog = :catalog AND i.catalog = :catalog AND i.encoder = s.encoder AND i.item = v.item"
)
_ADVANCE = text(
    "UPDATE recommender.index_states SET last_seq = last_seq + :count WHERE catalog = :catalog"
)


class PopularityRepository:
    """Likes, and the popularity that comes of them, within one transaction.

    Args:
        session: The transaction.
        encoder: Id of an encoder whose items are written here.
    """

    def __init__(self, session: AsyncSession, encoder: str) -> None:
        self._session = session
        self._encoder = encoder

    async def add(self, catalog: str, likes: Mapping[Like, datetime]) -> None:
        """Counts people who like items of a catalog; who is counted already is not counted again. Followers see the
        items anew. Likes of an item that is not indexed yet count once it is.

        Args:
            catalog: The catalog's id.
            likes: Each with the time at which it was written at the source.
        """
        if not likes:
            return
        await self._hold(catalog)
        items, people = zip(*sorted(likes), strict=True)
        new = await self._session.execute(
            _REMEMBER,
            {
                "catalog": catalog,
                "items": list(items),
                "people": list(people),
                "times": [likes[like] for like in sorted(likes)],
            },
        )
        await self._count(catalog, Counter(item for item in new.scalars() if item is not None))

    async def bury(self, catalog: str, before: datetime | None = None) -> bool:
        """Forgets who liked what in a catalog, `BURIED` likes of it. Followers see the items anew.

        Args:
            catalog: Its id.
            before: Only what was written before; None for all.

        Returns:
            Whether more may be left.
        """
        await self._hold(catalog)
        found = await self._session.execute(
            _FORGET, {"catalog": catalog, "before": before, "most": BURIED}
        )
        gone = found.scalars().all()
        await self._count(catalog, {item: -n for item, n in Counter(gone).items()})
        return len(gone) == BURIED

    async def _hold(self, catalog: str) -> None:
        here = {"catalog": catalog, "encoder": self._encoder}
        await self._session.execute(_BEGIN, here)
        await self._session.execute(_LOCK, here)

    async def _count(self, catalog: str, changes: Mapping[str, int]) -> None:
        """Changes how many people like items, by so many."""
        if not changes:
            return
        await self._session.execute(
            _COUNT, {"catalog": catalog, "items": list(changes), "people": list(changes.values())}
        )
        await self._session.execute(_ADVANCE, {"catalog": catalog, "count": len(changes)})
