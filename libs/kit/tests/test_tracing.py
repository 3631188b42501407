from __future__ import annotations

import asyncio
import contextvars
import logging
import threading

import asyncpg
import pytest
import structlog
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from libs.kit.tests.calls import until
from localmesh.databases import PostgresServer
from recmesh_kit.database import Database
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.telemetry import export, place
from recmesh_kit.telemetry.place import Place
from recmesh_kit.telemetry.sql import TracedConnection, described
from recmesh_kit.telemetry.telemetry import telemetry_of
from recmesh_kit.telemetry.testing import Collector, collecting, values
from recmesh_kit.telemetry.tracing import Tracing

METHOD = "/recmesh.catalog.v1.CatalogService/GetItem"
CALLER = Place("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1, "a=1")
OTHER = Place("1af7651916cd43dd8448eb211c80319c", "c7ad6b7169203331", 1)
NOT_RECORDED = Place("2af7651916cd43dd8448eb211c80319c", "d7ad6b7169203331", 0)


def metadata(here: Place | None) -> tuple[tuple[str, str], ...]:
    return tuple(here.headers.items()) if here else ()


def on(collector: Collector, ratio: float = 0.0) -> ServiceSettings:
    return ServiceSettings(otlp_endpoint=collector.endpoint, trace_sample_ratio=ratio)


def test_off_a_callers_place_is_carried_on_and_logged() -> None:
    def call() -> None:
        assert Tracing().serve(METHOD, metadata(CALLER)) is None
        assert place.current_place() == CALLER
        assert structlog.contextvars.get_contextvars()["trace_id"] == CALLER.trace_id
        with Tracing().spans("publish", [CALLER, None]) as place_of:
            assert place_of(CALLER) is CALLER
            assert place_of(None) is None

    contextvars.copy_context().run(call)


def test_off_a_call_without_a_place_has_none() -> None:
    def call() -> None:
        assert Tracing().serve(METHOD, ()) is None
        assert place.current_place() is None
        assert "trace_id" not in structlog.contextvars.get_contextvars()

    contextvars.copy_context().run(call)


async def test_spans_of_one_request_belong_together() -> None:
    with collecting() as collector:
        async with telemetry_of(on(collector), "kit") as telemetry:
            tracing = telemetry.tracing

            async def call() -> None:
                span = tracing.serve(METHOD, metadata(CALLER))
                assert span is not None
                here = place.current_place()
                with tracing.spans("publish jobs", [here]) as place_of:
                    sent = place_of(here)
                    assert sent is not None
                message = place.of_headers(sent.headers)
                with tracing.spans("process jobs", [None, message, OTHER, NOT_RECORDED]) as at:
                    assert at(NOT_RECORDED) is NOT_RECORDED
                span.end("INTERNAL")

            await asyncio.create_task(call())
        mine = {span.name: span for _, span in collector.trace(CALLER.trace_id)}
        served, published, processed = (
            mine[name] for name in (METHOD[1:], "publish jobs", "process jobs")
        )
        assert served.parent_span_id.hex() == CALLER.span_id
        assert published.parent_span_id == served.span_id
        assert processed.parent_span_id == published.span_id
        assert published.trace_state == "a=1"
        assert values(served) == {
            "rpc.system.name": "grpc",
            "rpc.method": METHOD[1:],
            "rpc.response.status_code": "INTERNAL",
            "error.type": "INTERNAL",
        }
        assert (served.kind, served.status.code) == (
            Span.SPAN_KIND_SERVER,
            Status.STATUS_CODE_ERROR,
        )
        [(service, beside)] = collector.trace(OTHER.trace_id)
        assert service == "kit"
        assert beside.parent_span_id.hex() == OTHER.span_id
        assert [link.span_id for link in beside.links] == [processed.span_id]
        assert not collector.trace(NOT_RECORDED.trace_id)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_of_traces_that_begin_here_a_share_is_recorded(ratio: float) -> None:
    with collecting() as collector:
        async with telemetry_of(on(collector, ratio), "kit") as telemetry:

            async def call() -> Place | None:
                span = telemetry.tracing.serve(METHOD, ())
                assert (span is not None) is bool(ratio)
                if span is not None:
                    span.end("NOT_FOUND")
                return place.current_place()

            here = await asyncio.create_task(call())
        assert (here is not None and here.sampled) is bool(ratio)
        assert len(collector.spans) == ratio
        for _, span in collector.spans:
            assert span.status.code == Status.STATUS_CODE_UNSET


async def test_what_fails_tells_the_kind_of_error_only() -> None:
    with collecting() as collector:
        async with telemetry_of(on(collector), "kit") as telemetry:
            with (
                pytest.raises(ValueError, match="secret"),
                telemetry.tracing.spans("store", [CALLER]),
            ):
                raise ValueError("a secret")
        [(_, span)] = collector.spans
    assert values(span) == {"error.type": "ValueError"}
    assert not span.events
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "")


async def test_statements_of_a_recorded_trace_only(
    postgres: PostgresServer, database_name: str
) -> None:
    url = (await postgres.create_database(f"{database_name}_traced"))["recmesh_catalog"]
    with collecting() as collector:
        async with (
            telemetry_of(on(collector), "kit") as telemetry,
            Database(url, pool_size=1, timeout_seconds=60, application_name="t") as database,
        ):
            telemetry.watch({"transactions": database._engine.sync_engine})
            for here in (None, NOT_RECORDED, CALLER):
                with telemetry.tracing.spans("work", [here]):
                    await database.ping()
            with telemetry.tracing.spans("work", [OTHER]), pytest.raises(DBAPIError):
                async with database.transaction() as session:
                    await (await session.connection()).exec_driver_sql("SELECT 'x' FROM nowhere")
        assert not collector.trace(NOT_RECORDED.trace_id)
        mine = {span.name: span for _, span in collector.trace(CALLER.trace_id)}
        others = {span.name: span for _, span in collector.trace(OTHER.trace_id)}
    asked, failed = mine["SELECT"], others["SELECT nowhere"]
    assert asked.parent_span_id == mine["work"].span_id
    assert asked.kind == Span.SPAN_KIND_CLIENT
    assert values(asked) == {
        "db.system.name": "postgresql",
        "db.operation.name": "SELECT",
        "db.query.summary": "SELECT",
    }
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert values(failed)["error.type"] == "42P01"


async def test_statements_of_the_driver_too(postgres: PostgresServer, database_name: str) -> None:
    url = (await postgres.create_database(f"{database_name}_driven"))["recmesh_catalog"]
    with collecting() as collector:
        async with telemetry_of(on(collector), "kit") as telemetry:
            engine = create_async_engine(
                url.replace("postgresql:", "postgresql+asyncpg:"),
                pool_size=1,
                connect_args={"connection_class": TracedConnection},
            )
            telemetry.watch({"statements": engine.sync_engine})
            for here, value in ((None, "before"), (CALLER, "a secret"), (None, "after")):
                with telemetry.tracing.spans("work", [here]):
                    lent = await engine.raw_connection()
                    assert lent.driver_connection is not None
                    await lent.driver_connection.fetch("SELECT $1::text FROM pg_type", value)
                    with pytest.raises(asyncpg.PostgresError):
                        await lent.driver_connection.execute("UPDATE nowhere SET a = 1")
                    lent.close()
            await engine.dispose()
    spans = {span.name: span for _, span in collector.trace(CALLER.trace_id)}
    assert spans.keys() == {"work", "SELECT pg_type", "UPDATE nowhere"}
    assert len(collector.spans) == len(spans)
    asked = spans["SELECT pg_type"]
    assert asked.parent_span_id == spans["work"].span_id
    assert asked.start_time_unix_nano < asked.end_time_unix_nano
    assert values(spans["UPDATE nowhere"])["error.type"] == "42P01"
    assert b"secret" not in b"".join(span.SerializeToString() for span in spans.values())


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT 1", "SELECT"),
        ("SELECT a FROM recommender.jobs WHERE b = 'x'", "SELECT recommender.jobs"),
        ("WITH w AS (SELECT id FROM a) UPDATE recommender.jobs j SET x", "UPDATE recommender.jobs"),
        ("insert into catalog.outbox (a) VALUES ($1)", "INSERT catalog.outbox"),
        ("DELETE FROM t WHERE id = 5", "DELETE t"),
        (
            "WITH r AS (INSERT INTO requests VALUES (1)) INSERT INTO jobs VALUES (2)",
            "INSERT requests INSERT jobs",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1", "INSERT t"),
        (
            "WITH w AS (SELECT 1 FROM a FOR UPDATE SKIP LOCKED) UPDATE t SET a = 1",
            "UPDATE t",
        ),
        ("SELECT a FROM unnest($1::text[]) JOIN x.people USING (a)", "SELECT x.people"),
        ("SELECT id FROM x.jobs FOR NO KEY UPDATE OF jobs", "SELECT x.jobs"),
        ("COMMIT;", "COMMIT"),
        ("\n    WITH a AS (SELECT 1)\n    SELECT id FROM a", "WITH a"),
    ],
)
def test_a_statement_is_called_by_what_it_does(statement: str, summary: str) -> None:
    assert described(statement)["db.query.summary"] == summary


async def test_a_collector_that_is_away_holds_nobody_up(
    held_port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than the first pause before a repeat: a failure is one at once.
    monkeypatch.setattr(export, "EXPORT_SECONDS", 0.2)
    monkeypatch.setattr(export, "FLUSH_SECONDS", 0.2)
    settings = ServiceSettings(otlp_endpoint=f"http://127.0.0.1:{held_port}", trace_sample_ratio=1)
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as logs:
        async with telemetry_of(settings, "kit") as telemetry:
            for _ in range(5000):
                with telemetry.tracing.spans("work", [CALLER]):
                    pass
        # What was left behind ends here: it would be logged within another test.
        await until(lambda: "flush-traces" not in {thread.name for thread in threading.enumerate()})
    assert [one["event"] for one in logs].count("traces cannot be exported") == 1
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]


async def test_it_is_said_once_that_the_collector_is_away_and_that_it_is_back(
    held_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than the first pause before a repeat: a failure is one at once.
    monkeypatch.setattr(export, "EXPORT_SECONDS", 0.7)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    address = f"127.0.0.1:{held_port}"
    settings = ServiceSettings(otlp_endpoint=f"http://{address}")
    away, back = "traces cannot be exported", "traces are exported again"
    with structlog.testing.capture_logs() as logs:

        def told() -> list[str]:
            return [one["event"] for one in logs if one["event"] in (away, back)]

        async with telemetry_of(settings, "kit") as telemetry:

            def work() -> None:
                with telemetry.tracing.spans("work", [CALLER]):
                    pass

            def failed() -> bool:
                work()
                return away in told()

            await until(failed)
            with collecting(address) as collector:

                def came() -> bool:
                    work()
                    return back in told()

                await until(came)
                assert collector.spans
                # On a slow machine it may go on: an export has little time.
                assert told()[:2] == [away, back]
