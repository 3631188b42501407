"""A span for each statement of a trace that is recorded: what it does and to which table, never a value."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import Any

from asyncpg.connection import LoggedQuery
from opentelemetry.trace import Span, Tracer
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from recmesh_kit.telemetry.tracing import Attributes, fail, recorded, under_current

_SPAN = "_recmesh_span"
_LOGGED = "recmesh_logged"
# Not what locks rows, nor what an insert does instead.
_WRITES = re.compile(
    r"(?<!\bFOR )(?<!\bKEY )(?<!\bDO )\b(INSERT INTO|UPDATE|DELETE FROM)\s+([a-z_][\w.]*)",
    re.IGNORECASE,
)
# Not a function.
_READS = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_][\w.]*)\b(?!\s*\()", re.IGNORECASE)
_FIRST = re.compile(r"\w+")


def trace_statements(engine: Engine, tracer: Tracer) -> None:
    """Has the statements of an engine recorded: SQLAlchemy's own, and those that are given to its driver."""

    def lent(connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: object) -> None:
        # Not on all connections: the driver makes a record of each statement then, whether or not it is wanted.
        if recorded() and entry.driver_connection is not None:
            entry.driver_connection.add_query_logger(ran)
            entry.info[_LOGGED] = True

    def returned(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if entry.info.pop(_LOGGED, False) and entry.driver_connection is not None:
            entry.driver_connection.remove_query_logger(ran)

    def ran(query: LoggedQuery) -> None:
        # Called once it has ended, in the context of whoever waited for it.
        nanoseconds = 1_000_000_000
        end = time.time_ns()
        span = _begin(tracer, query.query, start=end - int(query.elapsed * nanoseconds))
        if span is not None:
            fail(span, query.exception)
            span.end(end)

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


def _begin(tracer: Tracer, statement: str, start: int | None = None) -> Span | None:
    if not recorded():
        return None
    attributes = described(statement)
    return under_current(tracer, str(attributes["db.query.summary"]), attributes, start)


def _end(context: Any, error: BaseException | None) -> None:
    span: Span | None = getattr(context, _SPAN, None)
    if span is not None:
        delattr(context, _SPAN)
        fail(span, error)
        span.end()
