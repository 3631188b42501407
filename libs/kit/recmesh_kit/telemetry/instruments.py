"""Metrics over a registry. Without one they record nothing, and cost next to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
MOST_CHILDREN = 1_000
"""Combinations of labels that one metric may have: more are a defect, of labels that are not bounded."""


class Observer(Protocol):
    """Takes measurements."""

    def observe(self, amount: float) -> None:
        """One measurement."""
        ...


class Tally(Protocol):
    """Counts up."""

    def inc(self, amount: float = 1) -> None:
        """So many more."""
        ...


class Level(Protocol):
    """A value that goes up and down."""

    def set(self, value: float) -> None:
        """How it stands now."""
        ...


C = TypeVar("C")


class _Nothing:
    """Takes everything and keeps nothing."""

    def observe(self, amount: float) -> None:
        pass

    def inc(self, amount: float = 1) -> None:
        pass

    def set(self, value: float) -> None:
        pass


class Family(Generic[C]):
    """The children of a metric by the values of its labels, each looked up in the library once."""

    def __init__(self, make: Callable[[tuple[str, ...]], C]) -> None:
        self._make = make
        self._children: dict[tuple[str, ...], C] = {}

    def of(self, *values: str) -> C:
        """The child with these values, in the order of the labels.

        Raises:
            OverflowError: There are too many: one of the labels is not bounded.
        """
        child = self._children.get(values)
        if child is None:
            if len(self._children) >= MOST_CHILDREN:
                raise OverflowError(
                    f"a metric with more than {MOST_CHILDREN} combinations of labels"
                )
            child = self._children[values] = self._make(values)
        return child


class Instruments:
    """Makes metrics. Each name once; names and units as Prometheus has them: `recmesh_…_seconds`, `…_total`.

    Args:
        registry: Where they are exposed; None for metrics that record nothing.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry

    @property
    def recording(self) -> bool:
        """Whether they are exposed: else what it costs to find out a value can be saved."""
        return self._registry is not None

    def seconds(self, name: str, text: str, labels: Sequence[str] = ()) -> Family[Observer]:
        """A histogram of durations, from a millisecond to half a minute."""
        return self._histogram(name, text, labels, SECONDS)

    def sizes(
        self, name: str, text: str, labels: Sequence[str] = (), buckets: Sequence[float] = SIZES
    ) -> Family[Observer]:
        """A histogram of sizes."""
        return self._histogram(name, text, labels, buckets)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Family[Tally]:
        """A counter; its name ends in `_total`."""
        if self._registry is None:
            return Family(lambda _: _Nothing())
        counter = Counter(name, text, labels, registry=self._registry)
        return Family(lambda values: counter.labels(*values) if values else counter)

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Family[Level]:
        """A value that is set."""
        if self._registry is None:
            return Family(lambda _: _Nothing())
        gauge = Gauge(name, text, labels, registry=self._registry)
        return Family(lambda values: gauge.labels(*values) if values else gauge)

    def reading(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that is read when somebody asks, on a thread of its own."""
        if self._registry is not None:
            Gauge(name, text, registry=self._registry).set_function(read)

    def add(self, collector: Collector) -> None:
        """Metrics that somebody else collects when asked."""
        if self._registry is not None:
            self._registry.register(collector)

    def _histogram(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> Family[Observer]:
        if self._registry is None:
            return Family(lambda _: _Nothing())
        histogram = Histogram(name, text, labels, registry=self._registry, buckets=buckets)
        return Family(lambda values: histogram.labels(*values) if values else histogram)


class Timer:
    """Measures how long its block takes, whichever way it ends. For one use."""

    __slots__ = ("_began", "_observer")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._observer.observe(time.perf_counter() - self._began)
