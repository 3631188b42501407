"""The short form of a soak: steady, mixed work, of which nothing is lost and nothing stays behind."""

from pathlib import Path

import pytest

from bench.harness.data import make
from bench.harness.servers import Servers
from chaos.soak import Plan, Soak, soak
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")

ROUNDS = 4


async def test_mixed_work_ends_and_leaves_nothing_behind(
    local_mesh: LocalMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The mesh has servers of its own.
    monkeypatch.delenv("DATABASE_URL", raising=False)
    servers, data = Servers(local_mesh.root), make(tmp_path, 500)
    plan = Plan(seconds=8, warm_up=1.5, load=0.3)

    async with local_mesh.client(local_mesh.admin) as admin:
        # A pool that fills later than others grows once, too; what is left behind is left behind each time.
        grown = check(await soak(servers, admin, data, plan))
        for _ in range(ROUNDS):
            if not grown:
                break
            grown &= check(await soak(servers, admin, data, plan))

    assert not grown


def check(found: Soak) -> set[str]:
    """That all was done, and nothing lost; what has grown. Calls that did not begin, as too many were on the way, tell
    of the machine.
    """
    assert found.errors == {}
    assert found.audit.lost == 0
    assert found.audit.accepted > 0
    assert set(found.done) == {
        *("recommend", "create_and_watch", "batch", "get", "list", "continue"),
        *("cancel", "leave", "interact", "write_item"),
    }
    # Of so short a run the memory says nothing: what was used for the first time is still filling.
    assert {name: one.restarted for name, one in found.series.items()} == dict.fromkeys(
        ("postgres", "rabbitmq", "auth", "catalog", "recommender", "worker-0", "worker-1"), False
    )
    return set(found.grown())
