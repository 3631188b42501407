"""Spans, where traces are recorded; where they are not, places that are carried on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from types import TracebackType

import structlog
from grpc.aio import AioRpcError
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from recmesh_kit.telemetry import place as places
from recmesh_kit.telemetry.place import Place

Attributes = Mapping[str, str | int | float | bool]

MOST_LINKED = 32
"""Spans that one batch has at the most. Of more sampled jobs the rest is not recorded."""
_SERVER_ERRORS = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""The statuses that are a server's error (OpenTelemetry's conventions for gRPC)."""
PlaceOf = Callable[[Place | None], Place | None]


def _same(parent: Place | None) -> Place | None:
    return parent


_NONE: AbstractContextManager[PlaceOf] = nullcontext(_same)


class Tracing:
    """Makes spans.

    Args:
        tracer: Records them; None where traces are not recorded. Then a call whose caller is in a trace carries that
            on, and other calls have none.
        ratio: Share of the calls without a caller's trace with which one begins that is recorded. The others have
            none: an id that leads nowhere is not worth to be made and carried through.
    """

    def __init__(self, tracer: Tracer | None = None, ratio: float = 0.0) -> None:
        self.tracer = tracer
        self._ratio = ratio

    def serve(self, path: str, metadata: Iterable[tuple[str, str | bytes]]) -> ServerSpan | None:
        """A call begins, in a task of its own: what it does belongs under it, and its logs tell the trace's id.

        Args:
            path: `/package.Service/Method`.
            metadata: What the caller sent.

        Returns:
            The span of the call, to be ended with it; None when it is not recorded.
        """
        here = places.of_metadata(metadata)
        span = None
        begins = here is None and random.random() < self._ratio  # noqa: S311 - guards nothing
        if self.tracer is not None and (begins or (here is not None and here.sampled)):
            name = path[1:]
            span = self.tracer.start_span(
                name,
                _under(here) if here is not None else Context(),
                kind=SpanKind.SERVER,
                attributes={"rpc.system.name": "grpc", "rpc.method": name},
            )
            here = _place(span, here.state if here is not None else "")
        if here is None:
            return None
        places.enter(here)
        structlog.contextvars.bind_contextvars(trace_id=here.trace_id)
        return None if span is None else ServerSpan(span)

    def spans(
        self,
        name: str,
        parents: Iterable[Place | None],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[PlaceOf]:
        """The spans of work, as long as the block lasts: one in each trace that is recorded and for which it is done.
        What is done within the block (the statements, say) belongs under the first; the others link to it.

        Args:
            name: Of few different ones.
            parents: Where those for whom it is done are; looked at only where traces are recorded.
            kind: PRODUCER for what is published, CONSUMER for what is done with a message, CLIENT for a call.
            attributes: No secrets, and nothing that people have written.

        Returns:
            A context manager; its block gets a function that says, of each parent, the place of its span, or the
            parent itself where it has none.
        """
        if self.tracer is None:
            return _NONE
        sampled = [parent for parent in parents if parent is not None and parent.sampled]
        if not sampled:
            return _NONE
        return _Spans(self.tracer, name, sampled[:MOST_LINKED], kind, attributes)


class ServerSpan:
    """The span of a call in hand."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, code: str) -> None:
        """The call has ended, with this status."""
        self._span.set_attribute("rpc.response.status_code", code)
        if code in _SERVER_ERRORS:
            self._span.set_attribute("error.type", code)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Spans:
    """Spans of the same work, each in a trace of its own, as long as a block lasts."""

    __slots__ = ("_attributes", "_kind", "_name", "_parents", "_spans", "_token", "_tracer")

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        parents: Sequence[Place],
        kind: SpanKind,
        attributes: Attributes | None,
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._parents = parents
        self._kind = kind
        self._attributes = attributes
        self._spans: list[Span] = []
        self._token: Token[Place | None] | None = None

    def __enter__(self) -> PlaceOf:
        links: list[Link] = []
        found: dict[Place | None, Place] = {}
        for parent in self._parents:
            span = self._tracer.start_span(
                self._name,
                _under(parent),
                kind=self._kind,
                attributes=self._attributes,
                links=links,
            )
            self._spans.append(span)
            found[parent] = _place(span, parent.state)
            if not links:
                links = [Link(span.get_span_context())]
        self._token = places.enter(found[self._parents[0]])
        return lambda parent: found.get(parent, parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        places.leave(self._token)
        for span in self._spans:
            fail(span, error)
            span.end()


def recorded() -> bool:
    """Whether what is done now belongs to a trace that is recorded."""
    here = places.current_place()
    return here is not None and here.sampled


def under_current(tracer: Tracer, name: str, attributes: Attributes) -> Span:
    """A client's span under the place of what is done now, which is `recorded`. Whoever asks ends it.

    Args:
        tracer: Makes it.
        name: Of few different ones.
        attributes: As for `Tracing.span`.
    """
    here = places.current_place()
    assert here is not None
    return tracer.start_span(name, _under(here), kind=SpanKind.CLIENT, attributes=attributes)


def fail(span: Span, error: BaseException | None) -> None:
    """Notes what a span ended with. Only the kind: an error's text may hold what a person wrote."""
    if error is not None:
        if isinstance(error, AioRpcError):
            kind = error.code().name
        else:
            kind = getattr(error, "sqlstate", None) or type(error).__qualname__
        span.set_attribute("error.type", kind)
        span.set_status(Status(StatusCode.ERROR))


def _under(place: Place) -> Context:
    """A context whose current span is the one at this place."""
    span_context = SpanContext(
        int(place.trace_id, 16),
        int(place.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(place.flags),
        trace_state=TraceState.from_header([place.state]) if place.state else None,
    )
    return set_span_in_context(NonRecordingSpan(span_context), Context())


def _place(span: Span, state: str) -> Place:
    at = span.get_span_context()
    return Place(f"{at.trace_id:032x}", f"{at.span_id:016x}", at.trace_flags, state)
