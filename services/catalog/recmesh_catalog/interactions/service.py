"""The rules of interactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from recmesh_catalog.catalogs.access import require_readable
from recmesh_catalog.errors import InteractionExists
from recmesh_catalog.interactions.interaction import (
    Draft,
    Interaction,
    Mark,
    Position,
    Written,
    said,
)
from recmesh_catalog.interactions.repository import InteractionRepository
from recmesh_catalog.interactions.rules import content_id, faults
from recmesh_catalog.outbox.events import Events
from recmesh_catalog.outbox.outbox import Outbox
from recmesh_kit.database import Database
from recmesh_kit.errors import InvalidArgument, Violation
from recmesh_kit.filters.tree import Condition
from recmesh_kit.ids import uuid7
from recmesh_kit.principal import Principal

GROUP = 500
"""How many interactions an export reads at once."""


class InteractionService:
    """Writes and lists interactions.

    Args:
        database: Where they are.
        outbox: Opens the transactions that write them, so that others hear of it.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def write(self, principal: Principal, catalog: str, draft: Draft) -> Interaction:
        """Writes an interaction. One that is written already is answered as it is.

        Raises:
            InvalidArgument: A rating without a value, or an event too far in the future.
            CatalogNotFound: The catalog is not there, or not for this caller.
            PermissionDenied: A plain user names somebody else.
            InteractionExists: The id stands for something else.
        """
        now = datetime.now(UTC)
        wrong = faults(draft, now)
        if wrong:
            raise InvalidArgument([Violation(f"interaction.{at}", said) for at, said in wrong])
        async with self._outbox.transaction() as session:
            await require_readable(session, catalog, principal, hold=True)
            draft = replace(
                draft, id=draft.id or str(uuid7()), user=principal.acting_for(draft.user, catalog)
            )
            repository = InteractionRepository(session, catalog)
            written = await repository.insert(replace(draft, event_time=draft.event_time or now))
            if written is None:
                known = await repository.get(draft.id)
                if known is None or not _says_the_same(draft, known):
                    raise InteractionExists(catalog, draft.id)
                return known
            await Events(session).interactions_written(catalog, [written])
        return written

    async def import_group(
        self, principal: Principal, catalog: str, drafts: Sequence[Draft]
    ) -> int:
        """Writes interactions in one transaction, and answers how many of them were new.

        Those whose ids are known are left alone. One without an id gets it from what it says, so that it is known the
        next time.

        Args:
            principal: Who is calling; the person of interactions that name none.
            catalog: The catalog's id.
            drafts: Interactions without faults.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
        """
        # A thousand rows take a while: other calls go on meanwhile.
        complete = await asyncio.to_thread(_complete, drafts, principal.id, datetime.now(UTC))
        async with self._outbox.transaction() as session:
            await require_readable(session, catalog, principal, hold=True)
            repository = InteractionRepository(session, catalog)
            written = await repository.insert_many(complete)
            await Events(session).interactions_written(catalog, written)
        return len(written)

    async def export(
        self, principal: Principal, catalog: str, after: Mark
    ) -> AsyncIterator[Written]:
        """Interactions in the order of writing, up to the present, in groups.

        Each group is read in a transaction of its own, which a slow reader does not hold open. What a transaction that
        still runs may have written, and what began after it, comes with the next export.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
        """
        while True:
            async with self._database.transaction() as session:
                await require_readable(session, catalog, principal)
                repository = InteractionRepository(session, catalog)
                # In this order: what ended before the first look is seen by the second one or by the third.
                running = await repository.oldest_running()
                unsettled = await repository.oldest_unsettled()
                found = await repository.written(after, GROUP)
            full = len(found) == GROUP
            after = found[-1][1] if found else after
            until = None if full else min(running, unsettled or running)
            yield Written([interaction for interaction, _ in found], after, until)
            if not full:
                return

    async def page(
        self,
        principal: Principal,
        catalog: str,
        user: str,
        after: Position | None,
        size: int,
        where: Condition | None = None,
    ) -> tuple[list[Interaction], Position | None]:
        """A page of interactions, the newest first, and where the next one starts (None: at the end).

        Args:
            principal: Who is calling. A plain user sees its own interactions only.
            catalog: The catalog's id.
            user: Only this person's; empty for everybody's that the caller may see.
            after: Where the page before ended; None for the first page.
            size: The most to answer.
            where: Which of them; None for all.

        Raises:
            CatalogNotFound: The catalog is not there, or not for this caller.
        """
        async with self._database.transaction() as session:
            await require_readable(session, catalog, principal)
            if not principal.is_above_user(catalog):
                if user not in ("", principal.id):
                    # What one may not see is not there: no error that tells it from an unknown person.
                    return [], None
                user = principal.id
            repository = InteractionRepository(session, catalog)
            found = await repository.page(after, size + 1, where=where, user=user or None)
        page = found[:size]
        end = Position(page[-1].event_time, page[-1].id) if len(found) > size else None
        return page, end


def _says_the_same(draft: Draft, known: Interaction) -> bool:
    """Whether a repeated write is one. Without a time it means "now", which is later each time, so that counts not."""
    content = said(draft)
    if draft.event_time is None:
        del content["event_time"]
    return all(getattr(known, name) == value for name, value in content.items())


def _complete(drafts: Sequence[Draft], user: str, now: datetime) -> list[Draft]:
    """Drafts with what the callers left out: whose they are, when it was, and which they are."""
    named = (draft if draft.user else replace(draft, user=user) for draft in drafts)
    return [
        replace(draft, id=draft.id or content_id(draft), event_time=draft.event_time or now)
        for draft in named
    ]
