"""The SQL of the outbox."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, any_, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_catalog.models import outbox


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits to be sent.

    Attributes:
        id: Its place in the order of writing.
        routing_key: Where it goes.
        body: A message of `recmesh.events.v1`.
        request_id: The call that it comes from; None if there was none.
    """

    id: int
    routing_key: str
    body: bytes
    request_id: str | None

    @property
    def kind(self) -> str:
        """What it is about: "catalog", "item" or "interaction"."""
        return self.routing_key.partition(".")[0]


class OutboxRepository:
    """Messages that wait to be sent, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, routing_key: str, body: bytes, request_id: str | None) -> None:
        """Writes a message behind the others."""
        await self._session.execute(
            insert(outbox).values(routing_key=routing_key, body=body, request_id=request_id)
        )

    async def take(self, limit: int, *, without: Collection[str] = ()) -> list[Waiting]:
        """The oldest messages that no other replica has in hand, kept from others until the transaction ends.

        Args:
            limit: The most to answer.
            without: Kinds that are left out.
        """
        query = (
            select(outbox.c.id, outbox.c.routing_key, outbox.c.body, outbox.c.request_id)
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        if without:
            kind = func.split_part(outbox.c.routing_key, ".", 1)
            query = query.where(kind.not_in(sorted(without)))
        found = await self._session.execute(query)
        return [Waiting(**row) for row in found.mappings()]

    async def oldest_seconds(self) -> float:
        """Age of the oldest message; 0 when there is none."""
        age = func.extract("epoch", func.now() - outbox.c.create_time)
        found = await self._session.scalar(select(age).order_by(outbox.c.id).limit(1))
        return float(found or 0)

    async def delete(self, ids: Sequence[int]) -> None:
        """Forgets messages that were sent."""
        await self._session.execute(
            delete(outbox).where(outbox.c.id == any_(literal(ids, ARRAY(BigInteger))))
        )
