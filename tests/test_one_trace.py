"""One `Recommend` as a trace: every span of it, where each belongs, and nothing that a person wrote."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Mapping

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from chaos.settling import until
from demo.data import films
from recmesh_client import AsyncClient, Recommendation, Visibility
from recmesh_kit.telemetry.testing import Collector, values
from tests.conftest import INDEX_SECONDS, LocalMesh
from tests.test_telemetry import WAIT_SECONDS, logged

pytestmark = pytest.mark.xdist_group("mesh")

TEXT = "an unlikely wish that nobody else has"
SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL
PRODUCER, CONSUMER = Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER
CALL = "recmesh.recommender.v1.RecommenderService/Recommend"
ASK = "recmesh.catalog.v1.CatalogService/GetCatalog"
STORE = "INSERT recommender.requests INSERT recommender.jobs"
UPDATE = "UPDATE recommender.jobs"
ROOT = ("recommender", CALL, SERVER)
QUESTION = ("recommender", ASK, CLIENT)
ANSWER = ("catalog", ASK, SERVER)
STORING = ("recommender", "store jobs", INTERNAL)
PUBLISHING = ("recommender", "publish jobs", PRODUCER)
WORKING = ("worker", "process jobs", CONSUMER)
Kind = tuple[str, str, int]
TREE: Mapping[tuple[Kind | None, Kind], int] = {
    (None, ROOT): 1,
    (ROOT, QUESTION): 1,
    (QUESTION, ANSWER): 1,
    (ANSWER, ("catalog", "BEGIN", CLIENT)): 1,
    (ANSWER, ("catalog", "SELECT catalog.catalogs", CLIENT)): 1,
    (ANSWER, ("catalog", "SELECT catalog.items", CLIENT)): 1,
    (ANSWER, ("catalog", "COMMIT", CLIENT)): 1,
    (ROOT, STORING): 1,
    (STORING, ("recommender", STORE, CLIENT)): 1,
    (ROOT, PUBLISHING): 1,
    (PUBLISHING, WORKING): 1,
    # The claim, and the result.
    (WORKING, ("worker", UPDATE, CLIENT)): 2,
    (WORKING, ("worker", "rank jobs", INTERNAL)): 1,
    (WORKING, ("worker", "publish replies", PRODUCER)): 1,
}
"""Each span, and that to which it belongs: how many there are."""


async def asked(
    mesh: LocalMesh, admin: AsyncClient, catalog: str
) -> tuple[str, Recommendation, list[str]]:
    """Asks as a caller that is in a trace. Returns the trace's id, the answer, and what may not be told of the call."""
    trace_id, headers = secrets.token_hex(16), dict[str, str]()
    async with AsyncClient.connect(
        mesh.targets, credentials=mesh.admin, headers=lambda: headers
    ) as client:
        token = (await client.token()).access_token
        account = await client.get_user()
        headers |= {
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
            "tracestate": "caller=1",
        }
        answer = await client.recommend(catalog, text=TEXT, user="somebody-at-home", limit=2)
    secret = [TEXT, "somebody-at-home", account.id, account.email, token, answer.name]
    return trace_id, answer, [*secret, *(one.title for one in answer.results)]


async def new_catalog(mesh: LocalMesh, admin: AsyncClient) -> str:
    """Of which the recommender has to ask what it is."""
    catalog = f"traced-{secrets.token_hex(4)}"
    await admin.create_catalog(catalog, visibility=Visibility.PUBLIC)
    await admin.import_items(catalog, films()[:3])

    async def searchable() -> bool:
        return (await admin.get_catalog(catalog)).searchable_item_count == 3

    assert await until(searchable, INDEX_SECONDS)
    await mesh.followed()
    return catalog


async def test_a_recommendation_is_one_trace(
    local_mesh: LocalMesh, admin: AsyncClient, collector: Collector
) -> None:
    last = time.monotonic() + INDEX_SECONDS
    while True:
        catalog = await new_catalog(local_mesh, admin)
        before = failed_exports(local_mesh)
        trace_id, answer, secret = await asked(local_mesh, admin, catalog)
        spans = await whole(collector, trace_id)
        # On a machine that stands still meanwhile, a lease is renewed or lost, and that is in the trace, too; or spans
        # could not be handed over in time, and are not.
        disturbed = held_up(answer, spans) or failed_exports(local_mesh) > before
        if not disturbed or time.monotonic() > last:
            break
    assert len(answer.results) == 2
    by_id = {span.span_id: (service, span) for service, span in spans}
    [root] = (span for _, span in spans if span.parent_span_id not in by_id)
    assert tree(spans) == TREE
    for _, span in spans:
        if span is not root:
            check_time(root, by_id[span.parent_span_id][1], span)
    # A row is written before anybody is told of it.
    for write, tell in ((STORE, "publish jobs"), (UPDATE, "publish replies")):
        written = max(span.end_time_unix_nano for _, span in spans if span.name == write)
        [told_at] = [span.start_time_unix_nano for _, span in spans if span.name == tell]
        assert written <= told_at
    assert {span.trace_state for _, span in spans} == {"caller=1"}
    assert not [span for _, span in spans if span.links or "error.type" in values(span)]
    told = b"".join(span.SerializeToString() for _, span in spans)
    assert not [what for what in secret if what.encode() in told]
    await logged(local_mesh, trace_id)


def held_up(answer: Recommendation, spans: list[tuple[str, Span]]) -> bool:
    """Whether it took so long that the lease was renewed, beside the claim and the result, or lost."""
    updates = sum(span.name == UPDATE for _, span in spans)
    return answer.attempt_count > 1 or updates > TREE[WORKING, ("worker", UPDATE, CLIENT)]


def failed_exports(mesh: LocalMesh) -> int:
    """How often programs have said that they could not hand over spans."""
    programs = ("recommender", "catalog", "worker-0", "worker-1")
    return sum(mesh.log(name).count("traces cannot be exported") for name in programs)


def check_time(root: Span, parent: Span, span: Span) -> None:
    """A span lies within the one that it belongs to; what is done with a message begins within the call."""
    # All read the clock of this machine.
    assert parent.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    if span.kind == CONSUMER:
        assert span.start_time_unix_nano <= root.end_time_unix_nano
    elif span.kind != PRODUCER:
        assert span.end_time_unix_nano <= parent.end_time_unix_nano


async def whole(collector: Collector, trace_id: str) -> list[tuple[str, Span]]:
    """The spans of a trace, once there are as many as there are to be."""
    wanted = Counter(kind for (_, kind), count in TREE.items() for _ in range(count))

    async def came() -> bool:
        return wanted <= Counter(kind_of(*one) for one in collector.trace(trace_id))

    await until(came, WAIT_SECONDS)
    return collector.trace(trace_id)


def kind_of(service: str, span: Span) -> Kind:
    return (service.removeprefix("recmesh_"), span.name, span.kind)


def tree(spans: list[tuple[str, Span]]) -> Counter[tuple[Kind | None, Kind]]:
    """Each span, and that to which it belongs, counted."""
    kinds = {span.span_id: kind_of(service, span) for service, span in spans}
    return Counter((kinds.get(span.parent_span_id), kinds[span.span_id]) for _, span in spans)
