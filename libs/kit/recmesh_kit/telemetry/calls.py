"""What is measured and traced of the calls of a server. Rate, errors and duration of every method are one histogram:
its count by code is rate and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from grpc import StatusCode

from recmesh_kit.context import Call
from recmesh_kit.telemetry.instruments import Family, Instruments, Observer
from recmesh_kit.telemetry.tracing import Tracing


class CallObserver:
    """Sees every call come and go.

    Args:
        instruments: For the metrics.
        tracing: For the spans.
    """

    def __init__(self, instruments: Instruments, tracing: Tracing) -> None:
        self._instruments = instruments
        self._tracing = tracing
        self._methods: dict[str, _Method] = {}
        self._seconds = instruments.seconds(
            "recmesh_grpc_call_seconds",
            "Calls that have ended, by how they ended, and how long they took.",
            ("service", "method", "code"),
        )

    def begin(
        self, call: Call, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Callable[[str, float], None]:
        """A call begins, in a task of its own.

        Args:
            call: The call, of a method of the contract.
            metadata: What its caller sent.

        Returns:
            What is told of its end: the name of the status, such as `OK`, and the seconds that it took.
        """
        method = self._method(call.method)
        span = self._tracing.serve(call.method, metadata)
        if span is None:
            return method.observe

        def end(code: str, seconds: float) -> None:
            span.end(code)
            method.observe(code, seconds)

        return end

    def turned_away(self, path: str) -> None:
        """A call was turned away before it began."""
        self._method(path).observe(StatusCode.RESOURCE_EXHAUSTED.name, 0.0)

    def _method(self, path: str) -> _Method:
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = _Method(self._seconds, path)
        return method

    def in_hand(self, read: Callable[[], float]) -> None:
        """Where to read how many calls are in hand."""
        self._instruments.reading(
            "recmesh_grpc_calls_in_hand", "Calls that are being served.", read
        )


class _Method:
    """The calls of one method."""

    def __init__(self, family: Family[Observer], path: str) -> None:
        _, self._service, self._method = path.split("/")
        self._family = family
        self._by_code: dict[str, Observer] = {}

    def observe(self, code: str, seconds: float) -> None:
        observer = self._by_code.get(code)
        if observer is None:
            observer = self._by_code[code] = self._family.of(self._service, self._method, code)
        observer.observe(seconds)
