"""What version 1 wrote, read by the worker of today: what to compute, and what has changed in catalogs."""

from __future__ import annotations

import datetime as dt

import pytest

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs import messages
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened
from recmesh_worker.changes import Changes, Happenings, ItemChanges, NewerVersion
from recmesh_worker.converters import engine_query, read_filter
from recmesh_worker.engine.query import Diversity, EngineQuery, SeedKind
from tests.recorded import VERSION_1, recorded

OLD = recorded(VERSION_1)
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)
KEYS = {
    "message items changed": "item.films",
    "message catalog changed": "catalog.films",
    "message catalog deleted": "catalog.films",
    "message interactions written": "interaction.films",
}
UNKNOWN = b"\xba\x3e\x03new"
"""A field, number 999, as a newer version may have added."""
QUERIES = {
    "title": EngineQuery(kind=SeedKind.TITLE, seed="Чужой", limit=5),
    "item": EngineQuery(kind=SeedKind.ITEM, seed="alien-1979", limit=10, include_seen=True),
    "text": EngineQuery(
        kind=SeedKind.TEXT,
        seed="a heist inside a dream",
        limit=200,
        exclude=frozenset({"ran"}),
        filter=read_filter('release_year >= 1980 AND genres:"Crime"'),
        strict_filter=True,
        diversity=Diversity.HIGH,
    ),
    "history": EngineQuery(kind=SeedKind.HISTORY, limit=10, diversity=Diversity.LOW),
    "items": EngineQuery(kind=SeedKind.ITEMS, items=("ran", "alien-1979"), limit=1),
    "continued": EngineQuery(
        kind=SeedKind.TITLE,
        seed="Чужой",
        limit=5,
        exclude=frozenset({"alien-1979", "ran", "Чужой", "映画"}),
    ),
}


def read(changes: Changes, *names: str, more: bytes = b"") -> None:
    for name in names:
        changes.add(KEYS[name], OLD[name] + more)


@pytest.mark.parametrize("kind", QUERIES)
def test_what_a_job_asks(kind: str) -> None:
    assert engine_query(messages.decode_job(OLD[f"message job {kind}"])) == QUERIES[kind]


@pytest.mark.parametrize("more", [b"", UNKNOWN])
def test_what_changed_in_a_catalog(more: bytes) -> None:
    changes = ItemChanges()
    read(changes, *KEYS, more=more)
    assert changes.deleted == {"films"}
    found = [(c.item, c.revision, c.deleted) for c in changes.items["films"].values()]
    assert found == [("alien-1979", 7, False), ("映画", 2**40, True)]


def test_a_catalog_that_changed_is_not_deleted() -> None:
    changes = ItemChanges()
    read(changes, "message catalog changed")
    assert not changes.deleted


@pytest.mark.parametrize("more", [b"", UNKNOWN])
def test_what_people_did(more: bytes) -> None:
    changes = Happenings()
    read(changes, *KEYS, more=more)
    rated = Event("alien-1979", Interaction.TYPE_RATING, 4.5, AT.timestamp())
    seen = Event("ran", Interaction.TYPE_VIEW, None, AT.timestamp())
    assert changes.happened["films"] == [
        Happened("ada", rated, AT + dt.timedelta(seconds=1)),
        Happened("bob", seen, AT),
    ]
    assert changes.likes["films"] == {("ran", "bob"): AT}


@pytest.mark.parametrize("name", KEYS)
def test_a_newer_version_is_left_alone(name: str) -> None:
    first, version, *rest = OLD[name]
    assert (first, version) == (0x08, 1)
    changes = Happenings() if "interactions" in name else ItemChanges()
    with pytest.raises(NewerVersion):
        changes.add(KEYS[name], bytes([first, version + 1, *rest]))
