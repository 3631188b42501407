"""A place in a trace, as W3C Trace Context writes it down (https://www.w3.org/TR/trace-context/).

It is two strings that are passed on as they came. So a trace that begins before us goes on behind us even where we
record nothing of it, and that costs a look into the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
# Version 00 has exactly these fields; a later one may have more behind them, which are not passed on.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_TRACESTATE = re.compile(r"[ -~]{1,512}")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a trace: what is done from here on belongs under it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        flags: Of the trace; the lowest bit says whether it is recorded.
        state: `tracestate`, of whoever else takes part; empty for none.
    """

    trace_id: str
    span_id: str
    flags: int
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Whether the trace is recorded."""
        return bool(self.flags & 1)

    @property
    def headers(self) -> dict[str, str]:
        """As headers of a message or call."""
        headers = {TRACEPARENT: f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"}
        if self.state:
            headers[TRACESTATE] = self.state
        return headers


def of_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> Place | None:
    """The place that a call names in its metadata; None when it names none that is valid."""
    parent: object = None
    state: object = None
    for key, value in metadata:
        if key == TRACEPARENT:
            parent = value
        elif key == TRACESTATE:
            state = value
    return None if parent is None else _read(parent, state)


def of_headers(headers: Mapping[str, object]) -> Place | None:
    """The place that a message names in its headers; None when it names none that is valid."""
    parent = headers.get(TRACEPARENT)
    return None if parent is None else _read(parent, headers.get(TRACESTATE))


def current_place() -> Place | None:
    """The place of what is done now; None outside of traces."""
    return _current.get()


def enter(place: Place | None) -> Token[Place | None]:
    """From now on, what is done in this task belongs under `place`. The token is for `leave`."""
    return _current.set(place)


def leave(token: Token[Place | None]) -> None:
    """As it was before `enter`."""
    _current.reset(token)


_current: ContextVar[Place | None] = ContextVar("recmesh_place", default=None)


def _read(parent: object, state: object) -> Place | None:
    found = _TRACEPARENT.match(parent) if isinstance(parent, str) else None
    if found is None or not isinstance(parent, str):
        return None
    if len(parent) != found.end() and (parent.startswith("00") or parent[found.end()] != "-"):
        return None
    trace_id, span_id, flags = found.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    kept = state if isinstance(state, str) and _TRACESTATE.fullmatch(state) else ""
    return Place(trace_id, span_id, int(flags, 16), kept)
