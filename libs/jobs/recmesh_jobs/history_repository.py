"""People's histories in the read model, from events that may come twice, late and in any order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_jobs.history import SEEN_TYPES, Event

MOST = 1_000
"""Events of a person that are kept: so many of those that make an item seen, and as many others."""
BURIED = 200
"""People whose histories are buried in one statement."""

Person = tuple[str, str]
"""A catalog's id and a person's within it."""
Columns = Sequence[Any]
"""A person's events as their row has them: items, types, values and times, side by side, the newest first."""

# Whoever adds holds the catalog with others, whoever buries holds it alone.
_LOCK = "hashtextextended('recommender.user_history ' || :catalog, 0)"
_LOCK_SHARED = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
_LOCK_ALONE = text(f"SELECT pg_advisory_xact_lock({_LOCK})")
# The rows are made, and then locked, in the order of the people's ids, so that no two writers wait for each other. The
# merge is a statement of its own: it sees what the last holder of the lock has left.
_BEGIN = text(
    "INSERT INTO recommender.user_history"
    " (catalog, user_id, items, types, event_values, event_times, write_times) "
    "SELECT :catalog, person, '{}', '{}', '{}', '{}', '{}' FROM unnest(CAST(:people AS text[])) AS v(person) "
    "ON CONFLICT DO NOTHING"
)
_HOLD = text(
    "SELECT 1 FROM recommender.user_history "
    "WHERE catalog = :catalog AND user_id = ANY(CAST(:people AS text[])) ORDER BY user_id FOR UPDATE"
)
# Of each item and type the latest event stays, and of those the latest of a person. What is cut off is older than all
# that stays, and what stays only ever gets newer: so an event that is cut off could not have stayed in any order, and
# one that comes again is cut off again.
_MERGE = text(
    "WITH events AS ("
    " SELECT * FROM unnest(CAST(:people AS text[]), CAST(:items AS text[]), CAST(:types AS smallint[]),"
    "  CAST(:values AS double precision[]), CAST(:times AS double precision[]), CAST(:written AS timestamptz[]))"
    "  AS v(user_id, item, type, value, time, written)"
    " UNION ALL"
    " SELECT h.user_id, e.* FROM recommender.user_history h,"
    "  unnest(h.items, h.types, h.event_values, h.event_times, h.write_times) AS e"
    "  WHERE h.catalog = :catalog AND h.user_id = ANY(CAST(:people AS text[]))), "
    "latest AS ("
    " SELECT DISTINCT ON (user_id, item, type) * FROM events"
    " ORDER BY user_id, item, type, time DESC, written DESC, value DESC NULLS LAST), "
    "placed AS ("
    " SELECT *, row_number() OVER (PARTITION BY user_id"
    '  ORDER BY time DESC, item COLLATE "C", type) AS n, '
    " row_number() OVER (PARTITION BY user_id, type = ANY(CAST(:seen AS smallint[]))"
    '  ORDER BY time DESC, item COLLATE "C", type) AS place FROM latest), '
    "merged AS ("
    " SELECT user_id, array_agg(item ORDER BY n) AS items, array_agg(type ORDER BY n) AS types,"
    "  array_agg(value ORDER BY n) AS event_values, array_agg(time ORDER BY n) AS event_times,"
    "  array_agg(written ORDER BY n) AS write_times"
    "  FROM placed WHERE place <= :most GROUP BY user_id) "
    "UPDATE recommender.user_history h SET items = m.items, types = m.types, event_values = m.event_values,"
    " event_times = m.event_times, write_times = m.write_times "
    "FROM merged m WHERE h.catalog = :catalog AND h.user_id = m.user_id"
)
_NEXT = text(
    "SELECT user_id FROM recommender.user_history WHERE catalog = :catalog AND user_id > :after"
    " ORDER BY user_id LIMIT :most"
)
_BURY_ALL = text(
    "DELETE FROM recommender.user_history WHERE catalog = :catalog AND user_id = ANY(CAST(:people AS text[]))"
)
_BURY_BEFORE = text(
    "UPDATE recommender.user_history h SET (items, types, event_values, event_times, write_times) = ("
    " SELECT coalesce(array_agg(item ORDER BY n), '{}'), coalesce(array_agg(type ORDER BY n), '{}'),"
    "  coalesce(array_agg(value ORDER BY n), '{}'), coalesce(array_agg(time ORDER BY n), '{}'),"
    "  coalesce(array_agg(written ORDER BY n), '{}')"
    " FROM unnest(h.items, h.types, h.event_values, h.event_times, h.write_times)"
    "  WITH ORDINALITY AS e(item, type, value, time, written, n) WHERE written >= :before) "
    "WHERE catalog = :catalog AND user_id = ANY(CAST(:people AS text[]))"
)


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a person.

    Attributes:
        person: The person's id.
        event: What they did.
        write_time: When the catalog service wrote it down.
    """

    person: str
    event: Event
    write_time: datetime


class HistoryRepository:
    """People's histories, within one transaction. A row a person, so that a batch of jobs reads few of them.

    Args:
        session: The transaction.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, catalog: str, happened: Collection[Happened]) -> None:
        """Takes events of a catalog's people in. Of each person, item and type the latest event counts, however often
        and in whichever order they come, and of each person the latest `MOST`.

        All that is kept of these people is read and sorted: 64 with 800 events each take 0.4 s, so let them be few.
        """
        if not happened:
            return
        await self._session.execute(_LOCK_SHARED, {"catalog": catalog})
        people = {"catalog": catalog, "people": sorted({one.person for one in happened})}
        await self._session.execute(_BEGIN, people)
        await self._session.execute(_HOLD, people)
        events = [one.event for one in happened]
        await self._session.execute(
            _MERGE,
            {
                "catalog": catalog,
                "people": [one.person for one in happened],
                "items": [event.item for event in events],
                "types": [event.type for event in events],
                "values": [event.value for event in events],
                "times": [event.time for event in events],
                "written": [one.write_time for one in happened],
                "seen": sorted(SEEN_TYPES),
                "most": MOST,
            },
        )

    async def hold_alone(self, catalog: str) -> None:
        """Keeps everybody who adds to the catalog waiting until the transaction ends, and waits for those who do."""
        await self._session.execute(_LOCK_ALONE, {"catalog": catalog})

    async def bury(
        self, catalog: str, before: datetime | None = None, *, after: str = ""
    ) -> str | None:
        """Forgets what happened in a catalog, of its next `BURIED` people in the order of their ids.

        Args:
            catalog: Its id.
            before: Only what was written before; None for all.
            after: The last person of those that are done.

        Returns:
            The last of these people; None when nobody was left.
        """
        found = await self._session.execute(
            _NEXT, {"catalog": catalog, "after": after, "most": BURIED}
        )
        people: list[str] = list(found.scalars())
        if not people:
            return None
        values: dict[str, object] = {"catalog": catalog, "people": people}
        if before is None:
            await self._session.execute(_BURY_ALL, values)
        else:
            await self._session.execute(_BURY_BEFORE, values | {"before": before})
        return people[-1]


def events_of(columns: Columns) -> tuple[Event, ...]:
    """What a person did, the newest first."""
    return tuple(map(Event._make, zip(*columns, strict=True)))
