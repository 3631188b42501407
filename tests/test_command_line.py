"""The command line on a mesh of real processes."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chaos.settling import until
from tests.conftest import LocalMesh

pytestmark = pytest.mark.xdist_group("mesh")

Recmesh = Callable[..., Awaitable[str]]
SECONDS = 300
FILMS = """movieId,title,genres
1,"Lamp, The (Lampe, La) (1971)",Drama|Mystery
2,Nightfall at Sea (1988),Drama
3,Harbour of Fog (1979),Mystery
4,,Drama
"""
RATINGS = """userId,movieId,rating,timestamp
7,1,4.5,1000000000
8,1,5,1000000120
8,2,1,1000000180
8,2,11,1000000180
"""


@pytest.fixture
def recmesh(local_mesh: LocalMesh, tmp_path: Path) -> Recmesh:
    """Runs a command; answers what it said."""
    targets = local_mesh.targets

    async def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "recmesh_cli", *arguments),
            env={
                **os.environ,
                "RECMESH_AUTH_TARGET": targets.auth,
                "RECMESH_CATALOG_TARGET": targets.catalog,
                "RECMESH_RECOMMENDER_TARGET": targets.recommender,
                "XDG_CONFIG_HOME": str(tmp_path),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), SECONDS)
        assert process.returncode == code, err.decode()
        return out.decode()

    return run


async def test_from_signing_in_to_recommendations(
    recmesh: Recmesh, local_mesh: LocalMesh, tmp_path: Path
) -> None:
    admin = local_mesh.admin
    await recmesh("login", "--email", admin.email, stdin=f"{admin.password}\n")
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "movies.csv").write_text(FILMS)
    (folder / "ratings.csv").write_text(RATINGS)

    async def imported() -> list[list[int]]:
        said = await recmesh("import", "lamps", str(folder), "--create", "--json")
        counts = ("created", "updated", "unchanged", "refused")
        return [[step[count] for count in counts] for step in json.loads(said)["steps"]]

    assert await imported() == [[3, 0, 0, 1], [3, 0, 0, 1]]
    assert await imported() == [[0, 0, 3, 1], [0, 0, 3, 1]]

    assert "The Lamp" in await recmesh("search", "lamps", "lampe")
    assert "like 4.5" in await recmesh("history", "lamps", "--user", "7")
    assert await recmesh("like", "lamps", "3") == "Liked Harbour of Fog (3).\n"
    assert "like" in await recmesh("history", "lamps")
    await recmesh("like", "lamps", "nothing", code=1)

    async def answers(expected: set[str], *arguments: str) -> None:
        """Waits until these items are recommended."""
        last = time.monotonic() + SECONDS
        while True:
            answer = json.loads(await recmesh("recommend", "lamps", *arguments, "--json"))
            items = {result["item"] for result in answer["results"]}
            if (answer["resolved_item"], items) == ("2", expected):
                return
            assert time.monotonic() < last, answer

    async with local_mesh.client(admin) as client:

        async def searchable() -> bool:
            return (await client.get_catalog("lamps")).searchable_item_count == 3

        # To ask with it again and again would take longer.
        assert await until(searchable, SECONDS)
    await local_mesh.followed()
    # What was liked was seen.
    await answers({"1"}, "--title", "nightfal at sea")
    await answers({"1", "3"}, "--item", "2", "--include-seen")
    shown = await recmesh("recommend", "lamps", "--title", "The Lamp")
    assert shown.startswith("Taken as The Lamp (1)")

    # As if the access token were about to end.
    kept = tmp_path / "recmesh" / "sign-ins.json"
    before = json.loads(kept.read_text())
    (name,) = before["sign_ins"]
    before["sign_ins"][name]["renew_at"] = 1.0
    kept.write_text(json.dumps(before))
    assert "lamps" in await recmesh("catalogs")
    after = json.loads(kept.read_text())["sign_ins"][name]
    assert after["refresh_token"] != before["sign_ins"][name]["refresh_token"]

    await recmesh("logout")
    await recmesh("catalogs", code=1)
