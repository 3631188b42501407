"""Whether the database can be worked with: it answers, and its tables are as new as this code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.migrations import is_current


class Tables:
    """The check of a health component "database".

    Args:
        database: The one to ask.
        package: The package that has the migrations.
        schema: The schema of the tables.
        prepare: Done once, when the tables are there for the first time.
    """

    def __init__(
        self,
        database: Database,
        package: str,
        schema: str,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._package = package
        self._schema = schema
        self._prepare = prepare
        self._ready = False

    async def check(self) -> None:
        """Looks once.

        Raises:
            Unavailable: The database is away, or its tables are older than this code.
        """
        await self._database.ping()
        if self._ready:
            return
        if not await is_current(self._database, self._package, self._schema):
            raise Unavailable(
                f"The tables of schema {self._schema} are not up to date: run the service with the argument migrate.",
                reason=reasons.ERROR_REASON_DATABASE_UNAVAILABLE,
            )
        if self._prepare is not None:
            await self._prepare()
        self._ready = True
