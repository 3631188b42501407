from __future__ import annotations

import asyncio
import socket
import time

import pytest
from prometheus_client import CollectorRegistry

from libs.kit.tests.calls import until
from recmesh_kit.context import Call
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.telemetry import lag
from recmesh_kit.telemetry.calls import CallObserver
from recmesh_kit.telemetry.errors import MetricsUnavailable
from recmesh_kit.telemetry.exposition import exposed
from recmesh_kit.telemetry.instruments import MOST_CHILDREN, Instruments, Timer
from recmesh_kit.telemetry.pools import PoolCollector
from recmesh_kit.telemetry.telemetry import telemetry_of
from recmesh_kit.telemetry.testing import Metrics, scrape, total
from recmesh_kit.telemetry.tracing import Tracing

ANY = "127.0.0.1:0"
CALL = Call("/recmesh.catalog.v1.CatalogService/GetItem", "r", 0)


async def scraped(
    registry: CollectorRegistry,
) -> Metrics:
    async with exposed(registry, ANY) as address:
        return await asyncio.to_thread(scrape, address)


async def test_calls_by_method_and_code() -> None:
    registry = CollectorRegistry()
    calls = CallObserver(Instruments(registry), Tracing())
    for code, seconds in (("OK", 0.004), ("OK", 0.3), ("NOT_FOUND", 0.001)):
        calls.begin(CALL, ())(code, seconds)
    calls.in_hand(lambda: 7)
    metrics = await scraped(registry)
    labels = {"service": "recmesh.catalog.v1.CatalogService", "method": "GetItem"}
    name = "recmesh_grpc_call_seconds"
    assert total(metrics, f"{name}_count", code="OK", **labels) == 2
    assert total(metrics, f"{name}_count", code="NOT_FOUND", **labels) == 1
    assert total(metrics, f"{name}_sum", code="OK", **labels) == pytest.approx(0.304)
    assert total(metrics, f"{name}_bucket", code="OK", le="0.005", **labels) == 1
    assert total(metrics, "recmesh_grpc_calls_in_hand") == 7


async def test_a_process_tells_of_itself() -> None:
    metrics = await scraped(CollectorRegistry())
    assert total(metrics, "process_resident_memory_bytes") > 0
    assert total(metrics, "python_info") == 1
    assert total(metrics, "python_gc_collections_total") > 0


def test_a_timer_measures_what_fails_too() -> None:
    registry = CollectorRegistry()
    stage = Instruments(registry).seconds("recmesh_stage_seconds", "Stages.", ("stage",))

    def work() -> None:
        with Timer(stage.of("claim")):
            time.sleep(0.002)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the one from above
        work()
    took = registry.get_sample_value("recmesh_stage_seconds_sum", {"stage": "claim"})
    assert took is not None
    assert took >= 0.002


def test_labels_without_a_bound_are_refused() -> None:
    family = Instruments(CollectorRegistry()).counter("recmesh_x_total", "X.", ("id",))
    for number in range(MOST_CHILDREN):
        family.of(str(number)).inc()
    with pytest.raises(OverflowError):
        family.of("one more")


def test_without_a_registry_nothing_is_recorded() -> None:
    nothing = Instruments()
    nothing.seconds("a", "A.", ("b",)).of("c").observe(1)
    nothing.sizes("a", "A.").of().observe(1)
    nothing.counter("a", "A.").of().inc()
    nothing.gauge("a", "A.").of().set(1)
    nothing.reading("a", "A.", lambda: 1)
    nothing.add(PoolCollector({"transactions": _Pool()}))


class _Pool:
    def size(self) -> int:
        return 10

    def checkedout(self) -> int:
        return 3


def test_connections_by_whether_they_are_in_use() -> None:
    registry = CollectorRegistry()
    Instruments(registry).add(PoolCollector({"transactions": _Pool()}))
    name, labels = "recmesh_database_connections", {"pool": "transactions"}
    assert registry.get_sample_value(name, labels | {"state": "in_use"}) == 3
    assert registry.get_sample_value(name, labels | {"state": "free"}) == 7


async def test_a_loop_that_is_held_up_is_late() -> None:
    registry = CollectorRegistry()
    watching = asyncio.create_task(lag.watch(Instruments(registry)))

    def sum_of_lag() -> float:
        return registry.get_sample_value("recmesh_event_loop_lag_seconds_sum") or 0.0

    try:
        await asyncio.sleep(0)
        time.sleep(lag.EVERY_SECONDS + 0.2)  # noqa: ASYNC251 - holds up the loop
        await until(lambda: sum_of_lag() >= 0.19)
    finally:
        watching.cancel()


async def test_a_taken_port_is_told(held_port: int) -> None:
    address = f"127.0.0.1:{held_port}"
    async with exposed(CollectorRegistry(), address):
        with pytest.raises(MetricsUnavailable, match=f"{address}: .*RECMESH_METRICS_LISTEN"):
            async with exposed(CollectorRegistry(), address):
                pass
    async with exposed(CollectorRegistry(), address):
        assert await asyncio.to_thread(scrape, address)


async def test_a_port_may_be_shared() -> None:
    async with exposed(CollectorRegistry(), ANY, share_port=True) as address:
        async with exposed(CollectorRegistry(), address, share_port=True):
            assert await asyncio.to_thread(scrape, address)
        with pytest.raises(MetricsUnavailable):
            async with exposed(CollectorRegistry(), address):
                pass


async def test_who_connects_and_asks_nothing_is_let_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with exposed(CollectorRegistry(), ANY) as address:
        host, _, port = address.rpartition(":")
        with monkeypatch.context() as patched:
            patched.setattr("recmesh_kit.telemetry.exposition._Handler.timeout", 0.05)
            with socket.create_connection((host, int(port)), 60) as silent:
                assert await asyncio.to_thread(silent.recv, 1) == b""
        # Who asks has time for it.
        assert await asyncio.to_thread(scrape, address)
    # Logs are lines of JSON.
    assert "Traceback" not in capsys.readouterr().err


async def test_by_default_nothing_listens_and_nothing_is_exported() -> None:
    settings = ServiceSettings()
    async with telemetry_of(settings, "test") as telemetry:
        assert telemetry.tracing.tracer is None
        telemetry.calls.begin(CALL, ())("OK", 1)
    assert (settings.metrics_listen, settings.otlp_endpoint) == ("off", None)


async def test_a_process_with_its_settings_serves_its_metrics(held_port: int) -> None:
    settings = ServiceSettings(metrics_listen=f"127.0.0.1:{held_port}")
    async with telemetry_of(settings, "test") as telemetry:
        telemetry.calls.begin(CALL, ())("OK", 1)
        metrics = await asyncio.to_thread(scrape, settings.metrics_listen)
    assert total(metrics, "recmesh_grpc_call_seconds_count", method="GetItem") == 1
