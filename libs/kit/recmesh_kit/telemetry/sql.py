"""A span for each statement of a trace that is recorded: what it does and to which table, never a value."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import asyncpg
from opentelemetry.trace import Span, Tracer
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from recmesh_kit.telemetry.tracing import Attributes, fail, recorded, under_current

_SPAN = "_recmesh_span"
# Not what locks rows, nor what an insert does instead.
_WRITES = re.compile(
    r"(?<!\bFOR )(?<!\bKEY )(?<!\bDO )\b(INSERT INTO|UPDATE|DELETE FROM)\s+([a-z_][\w.]*)",
    re.IGNORECASE,
)
# Not a function.
_READS = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_][\w.]*)\b(?!\s*\()", re.IGNORECASE)
_FIRST = re.compile(r"\w+")


class TracedConnection(asyncpg.Connection):  # type: ignore[misc] # it has no types
    """The driver's connection, with a span for each statement while it has a tracer. (The driver's own query loggers
    hear of a statement when the event loop comes to them: it would seem to have run after what came after it.)
    """

    __slots__ = ("tracer",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tracer: Tracer | None = None

    def execute(self, query: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As of the driver."""
        return self._traced(super().execute, query, *args, **kwargs)

    def executemany(self, command: str, args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As of the driver."""
        return self._traced(super().executemany, command, args, **kwargs)

    def fetch(self, query: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As of the driver."""
        return self._traced(super().fetch, query, *args, **kwargs)

    def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As of the driver."""
        return self._traced(super().fetchval, query, *args, **kwargs)

    def fetchrow(self, query: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As of the driver."""
        return self._traced(super().fetchrow, query, *args, **kwargs)

    def _traced(
        self, run: Callable[..., Awaitable[Any]], query: str, *args: Any, **kwargs: Any
    ) -> Awaitable[Any]:
        if self.tracer is None or (span := _begin(self.tracer, query)) is None:
            return run(query, *args, **kwargs)
        return _within(span, run(query, *args, **kwargs))


async def _within(span: Span, statement: Awaitable[Any]) -> Any:
    try:
        return await statement
    except BaseException as error:
        fail(span, error)
        raise
    finally:
        span.end()


def trace_statements(engine: Engine, tracer: Tracer) -> None:
    """Has the statements of an engine recorded: SQLAlchemy's own, and those that are given to its driver, where its
    connections are of the kind above."""

    def lent(connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: object) -> None:
        if recorded() and isinstance(entry.driver_connection, TracedConnection):
            entry.driver_connection.tracer = tracer

    def returned(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if isinstance(entry.driver_connection, TracedConnection):
            entry.driver_connection.tracer = None

    def before(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        span = _begin(tracer, statement)
        if span is not None and context is not None:
            setattr(context, _SPAN, span)

    def after(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        _end(context, None)

    def failed(context: ExceptionContext) -> None:
        _end(context.execution_context, context.original_exception)

    event.listen(engine, "checkout", lent)
    event.listen(engine, "checkin", returned)
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    # First: another listener makes another error of it, by raising that.
    event.listen(engine, "handle_error", failed, insert=True)


@lru_cache(maxsize=512)
def described(statement: str) -> Attributes:
    """A statement's attributes, by OpenTelemetry's conventions for databases: what it writes, or else what it does and
    the first table that it reads."""
    parts = [(verb.split()[0].upper(), table) for verb, table in _WRITES.findall(statement)]
    if not parts:
        first, read = _FIRST.search(statement), _READS.search(statement)
        parts = [(first.group().upper() if first else "", read.group(1) if read else "")]
    summary = " ".join(dict.fromkeys(f"{verb} {table}".rstrip() for verb, table in parts))
    attributes = {"db.system.name": "postgresql", "db.query.summary": summary}
    if len(parts) == 1:
        [(verb, table)] = parts
        attributes["db.operation.name"] = verb
        if table:
            attributes["db.collection.name"] = table
    return attributes


def _begin(tracer: Tracer, statement: str) -> Span | None:
    if not recorded():
        return None
    attributes = described(statement)
    return under_current(tracer, str(attributes["db.query.summary"]), attributes)


def _end(context: Any, error: BaseException | None) -> None:
    span: Span | None = getattr(context, _SPAN, None)
    if span is not None:
        delattr(context, _SPAN)
        fail(span, error)
        span.end()
