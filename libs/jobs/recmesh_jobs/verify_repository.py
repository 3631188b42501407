"""What the read model holds, read to be compared with the catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_jobs.happenings import LIKES
from recmesh_jobs.history import SEEN_TYPES
from recmesh_jobs.history_repository import MOST, Happened
from recmesh_jobs.models import index_states, item_index

# In the order of the index, whatever the database's collation.
_LIVING = text(
    "SELECT item FROM recommender.item_index"
    " WHERE catalog = :catalog AND encoder = :encoder AND NOT deleted AND item > :after"
    " ORDER BY item LIMIT :most"
)
# The row that whoever writes items holds: otherwise two that lock several items each could wait for one another.
_HOLD = text(
    "SELECT 1 FROM recommender.index_states WHERE catalog = :catalog AND encoder = :encoder FOR UPDATE"
)
_FORGET = text(
    "UPDATE recommender.item_index i SET revision = 0"
    " FROM unnest(CAST(:items AS text[]), CAST(:revisions AS bigint[])) AS v(item, revision)"
    " WHERE i.catalog = :catalog AND i.encoder = :encoder AND i.item = v.item AND i.revision >= v.revision"
)
# An event is in its place when the history has it or a later one of its item and type, or when so many are kept that
# are newer that it was cut off. The order of events is that of `history_repository`; two of the same time at the place
# of the cut are not told apart.
_LACKING = text(
    "WITH told AS ("
    " SELECT * FROM unnest(CAST(:people AS text[]), CAST(:items AS text[]), CAST(:types AS smallint[]),"
    "  CAST(:times AS double precision[])) WITH ORDINALITY AS v(user_id, item, type, time, place)), "
    "kept AS ("
    " SELECT h.user_id, e.* FROM recommender.user_history h,"
    "  unnest(h.items, h.types, h.event_times) AS e(item, type, time)"
    "  WHERE h.catalog = :catalog AND h.user_id = ANY(CAST(:people AS text[]))), "
    "cut AS ("
    " SELECT user_id, type = ANY(CAST(:seen AS smallint[])) AS seen, count(*) AS events, min(time) AS time"
    "  FROM kept GROUP BY 1, 2) "
    "SELECT t.place, k.item IS NOT NULL AS earlier FROM told t"
    " LEFT JOIN kept k ON k.user_id = t.user_id AND k.item = t.item AND k.type = t.type"
    " LEFT JOIN cut c ON c.user_id = t.user_id AND c.seen = (t.type = ANY(CAST(:seen AS smallint[])))"
    " WHERE (k.item IS NULL OR k.time < t.time)"
    "  AND NOT (coalesce(c.events, 0) >= :most AND t.time <= c.time) "
    "UNION ALL "
    "SELECT t.place, false FROM told t WHERE t.type = ANY(CAST(:likes AS smallint[])) AND NOT EXISTS ("
    " SELECT 1 FROM recommender.item_likes l"
    "  WHERE l.catalog = :catalog AND l.item = t.item AND l.user_id = t.user_id)"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an item stands in the read model of one encoder.

    Attributes:
        revision: The catalog's revision that it was written at.
        living: Whether it is no tombstone.
        embedded: Whether it has a vector.
    """

    revision: int
    living: bool
    embedded: bool


class VerifyRepository:
    """The read model of one catalog as a whole, within one transaction.

    Args:
        session: The transaction.
        catalog: Id of the catalog.
    """

    def __init__(self, session: AsyncSession, catalog: str) -> None:
        self._session = session
        self._catalog = catalog

    async def encoders(self) -> list[str]:
        """The encoders that something was written for."""
        found = await self._session.execute(
            select(index_states.c.encoder)
            .where(index_states.c.catalog == self._catalog)
            .order_by(index_states.c.encoder)
        )
        return list(found.scalars())

    async def standings(self, encoder: str, items: Collection[str]) -> Mapping[str, Standing]:
        """How these items stand; unknown ones are left out."""
        found = await self._session.execute(
            select(
                item_index.c.item,
                item_index.c.revision,
                ~item_index.c.deleted,
                item_index.c.vector.is_not(None),
            ).where(
                item_index.c.catalog == self._catalog,
                item_index.c.encoder == encoder,
                item_index.c.item.in_(items),
            )
        )
        return {item: Standing(*standing) for item, *standing in found}

    async def living_after(self, encoder: str, after: str, most: int) -> list[str]:
        """The next items that are no tombstones, in an order of the database's own.

        Args:
            encoder: Id of the encoder.
            after: The last item of the page before; empty for the first page.
            most: How many at the most.
        """
        found = await self._session.execute(
            _LIVING,
            {"catalog": self._catalog, "encoder": encoder, "after": after, "most": most},
        )
        return list(found.scalars())

    async def forget_revisions(self, encoder: str, told: Mapping[str, int]) -> None:
        """Lets items be written anew at revisions that count as known. What they are stays until then.

        Args:
            encoder: Id of the encoder.
            told: Items, each with the revision that it will be written at. One that stands at a lower revision is
                left as it is.
        """
        here = {"catalog": self._catalog, "encoder": encoder}
        await self._session.execute(_HOLD, here)
        await self._session.execute(
            _FORGET, {**here, "items": list(told), "revisions": list(told.values())}
        )

    async def lacking(self, happened: Sequence[Happened]) -> Mapping[int, bool]:
        """Which of these events a history or a popularity should count and does not.

        All that is kept of these people is read, so let them be few. Of a person who lacks something among as many
        events as are kept, all that were cut off rightly are taken to be lacking, too.

        Args:
            happened: What people did.

        Returns:
            Their places in `happened`, each with whether the history has an earlier event of that item and type.
        """
        if not happened:
            return {}
        events = [one.event for one in happened]
        found = await self._session.execute(
            _LACKING,
            {
                "catalog": self._catalog,
                "people": [one.person for one in happened],
                "items": [event.item for event in events],
                "types": [event.type for event in events],
                "times": [event.time for event in events],
                "seen": sorted(SEEN_TYPES),
                "likes": sorted(LIKES),
                "most": MOST,
            },
        )
        lacking: dict[int, bool] = {}
        for place, earlier in found:
            lacking[place - 1] = earlier and lacking.get(place - 1, True)
        return lacking
