"""The short form of a soak: steady, mixed work, of which nothing is lost and nothing stays behind."""

from pathlib import Path

import pytest

from bench.harness.data import make
from bench.harness.servers import Servers
from chaos.soak import Plan, soak
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")


async def test_mixed_work_ends_and_leaves_nothing_behind(
    local_mesh: LocalMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The mesh has servers of its own.
    monkeypatch.delenv("DATABASE_URL", raising=False)
    data = make(tmp_path, 500)

    async with local_mesh.client(local_mesh.admin) as admin:
        found = await soak(
            Servers(local_mesh.root), admin, data, Plan(seconds=8, warm_up=1.5, load=0.3)
        )

    assert (found.errors, found.skipped) == ({}, 0)
    assert found.audit.lost == 0
    assert found.audit.accepted > 0
    assert set(found.done) == {
        *("recommend", "create_and_watch", "batch", "get", "list", "continue"),
        *("cancel", "leave", "interact", "write_item"),
    }
    # Of so short a run the memory says nothing: what was used for the first time is still filling.
    held = {name: (one.grown(), one.restarted) for name, one in found.series.items()}
    assert held == dict.fromkeys(
        ("postgres", "rabbitmq", "auth", "catalog", "recommender", "worker-0", "worker-1"),
        ([], False),
    )
