"""How many people like each item, counted from events that may come twice, late and in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

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
    "INSERT INTO recommender.item_likes (catalog, item, user_id) "
    "SELECT :catalog, item, person"
    " FROM unnest(CAST(:items AS text[]), CAST(:people AS text[])) AS v(item, person) "
    "ON CONFLICT DO NOTHING RETURNING item"
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

    async def add(self, catalog: str, likes: Collection[Like]) -> None:
        """Counts people who like items of a catalog; who is counted already is not counted again. Followers see the
        items anew. Likes of an item that is not indexed yet count once it is.
        """
        if not likes:
            return
        here = {"catalog": catalog, "encoder": self._encoder}
        await self._session.execute(_BEGIN, here)
        await self._session.execute(_LOCK, here)
        items, people = zip(*sorted(set(likes)), strict=True)
        new = await self._session.execute(
            _REMEMBER, {"catalog": catalog, "items": list(items), "people": list(people)}
        )
        counts = Counter(new.scalars())
        if not counts:
            return
        await self._session.execute(
            _COUNT, {"catalog": catalog, "items": list(counts), "people": list(counts.values())}
        )
        await self._session.execute(_ADVANCE, {"catalog": catalog, "count": len(counts)})
