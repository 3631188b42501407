"""The SQL of interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, column, func, literal, literal_column, select, text, tuple_
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_catalog.interactions.filtering import COLUMNS
from recmesh_catalog.interactions.interaction import (
    SAID,
    Draft,
    Interaction,
    Mark,
    Position,
    Type,
    said,
)
from recmesh_catalog.models import Id, Time, interactions
from recmesh_kit.filters import sql
from recmesh_kit.filters.tree import Condition

_columns = [known for known in interactions.c if known.name not in ("catalog", "transaction")]
_SETTLED = literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", BigInteger)
"""Every transaction with a smaller number has ended."""


class InteractionRepository:
    """Interactions of one catalog, within one transaction."""

    def __init__(self, session: AsyncSession, catalog: str) -> None:
        self._session = session
        self._catalog = catalog

    async def insert(self, draft: Draft) -> Interaction | None:
        """Writes an interaction whose id, user and time are known by now; None if the id is taken."""
        query = (
            insert(interactions)
            .values(catalog=self._catalog, **said(draft))
            .on_conflict_do_nothing()
            .returning(*_columns)
        )
        row = (await self._session.execute(query)).mappings().first()
        return None if row is None else _interaction(row)

    async def insert_many(self, drafts: Sequence[Draft]) -> list[Interaction]:
        """Writes interactions whose ids, users and times are known by now, and answers those whose ids were not taken.

        One JSON value, however many rows: the statement stays the same, and so does its plan.
        """
        if not drafts:
            return []
        rows = [
            {**said(draft), "event_time": draft.event_time and draft.event_time.isoformat()}
            for draft in drafts
        ]
        incoming = (
            func.jsonb_to_recordset(literal(rows, JSONB))
            .table_valued(*(column(name, interactions.c[name].type) for name in SAID))
            .render_derived("incoming", with_types=True)
        )
        source = select(literal(self._catalog, Id), *(incoming.c[name] for name in SAID))
        query = (
            insert(interactions)
            .from_select(["catalog", *SAID], source)
            .on_conflict_do_nothing()
            .returning(*_columns)
        )
        found = await self._session.execute(query)
        return [_interaction(row) for row in found.mappings()]

    async def get(self, interaction: str) -> Interaction | None:
        """The interaction with this id; None if there is none."""
        query = select(*_columns).where(
            interactions.c.catalog == self._catalog, interactions.c.id == interaction
        )
        row = (await self._session.execute(query)).mappings().first()
        return None if row is None else _interaction(row)

    async def page(
        self,
        after: Position | None,
        limit: int,
        *,
        where: Condition | None = None,
        user: str | None,
    ) -> list[Interaction]:
        """Interactions, the newest first.

        Args:
            after: Where the page before ended; None for the first page.
            limit: The most to answer.
            where: Which; None for all.
            user: Of this person only; None for everybody's.
        """
        key = tuple_(interactions.c.event_time, interactions.c.id)
        query = (
            select(*_columns)
            .where(interactions.c.catalog == self._catalog)
            .order_by(interactions.c.event_time.desc(), interactions.c.id.desc())
            .limit(limit)
        )
        if user is not None:
            query = query.where(interactions.c.user == user)
        if where is not None:
            query = query.where(sql.where(where, COLUMNS))
        if after is not None:
            query = query.where(
                key < tuple_(literal(after.event_time, Time), literal(after.id, Id))
            )
        found = await self._session.execute(query)
        return [_interaction(row) for row in found.mappings()]

    async def written(self, after: Mark, limit: int) -> list[tuple[Interaction, Mark]]:
        """Interactions in the order of the transactions that wrote them, none of which can get another before it.

        A transaction may commit long after one that began later. So only those rows are told whose transactions are
        older than every one that still runs: nothing can come before them any more. The others wait for the next call.
        (The numbers belong to the server: rows restored on another one need `transaction` set to 0.)

        Args:
            after: Where the call before ended.
            limit: The most to answer.
        """
        order = (interactions.c.transaction, interactions.c.id)
        last = tuple_(literal(after.transaction, BigInteger), literal(after.id, Id))
        query = (
            select(*_columns, interactions.c.transaction)
            .where(
                interactions.c.catalog == self._catalog,
                tuple_(*order) > last,
                interactions.c.transaction < _SETTLED,
            )
            .order_by(*order)
            .limit(limit)
        )
        rows = [dict(row) for row in (await self._session.execute(query)).mappings()]
        marks = [Mark(row.pop("transaction"), row["id"]) for row in rows]
        return [(_interaction(row), mark) for row, mark in zip(rows, marks, strict=True)]

    async def oldest_running(self) -> datetime:
        """When the oldest transaction began that this service has open: the present one, if there is no other."""
        query = text("SELECT min(xact_start) FROM pg_stat_activity WHERE usename = current_user")
        found: datetime | None = (await self._session.execute(query)).scalar()
        return found or (await self._session.execute(select(func.now()))).scalar_one()

    async def oldest_unsettled(self) -> datetime | None:
        """When the oldest interaction was written that `written` does not tell yet; None if there is none."""
        query = select(func.min(interactions.c.create_time)).where(
            interactions.c.catalog == self._catalog, interactions.c.transaction >= _SETTLED
        )
        oldest: datetime | None = (await self._session.execute(query)).scalar()
        return oldest


def _interaction(row: Mapping[Any, Any]) -> Interaction:
    return Interaction(**{**row, "type": Type(row["type"])})
