from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path

import grpc
import pytest
from apps.cli.tests.conftest import SECONDS, Recmesh
from apps.cli.tests.sources import movielens
from sdk.python.tests.fake import Call, Failure, Fake, Hang

from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import ImportItemsResponse
from recmesh.catalog.v1.interaction_service_pb2 import ImportInteractionsResponse
from recmesh.common.v1.error_reason_pb2 import RowError

pytestmark = pytest.mark.usefixtures("signed_in")


@pytest.fixture(autouse=True)
def films(fake: Fake) -> None:
    """There is a catalog."""
    fake.always("GetCatalog", lambda _: Catalog(name="catalogs/films"))


def table(path: Path, rows: int) -> Path:
    path.write_text("id,title\n" + "".join(f"{n},Film {n}\n" for n in range(rows)))
    return path


def names(call: Call) -> list[str]:
    rows = [row for request in call.requests for row in request.items]
    return [row.name.rpartition("/")[2] for row in rows]


async def test_a_data_set_goes_in_and_wrong_rows_are_told(
    fake: Fake, recmesh: Recmesh, tmp_path: Path
) -> None:
    fake.script("ImportItems", ImportItemsResponse(created_count=2, unchanged_count=1))
    fake.script("ImportInteractions", ImportInteractionsResponse(created_count=3))
    done = await recmesh(
        "import", "films", movielens(tmp_path / "ml"), "--errors", "refused.jsonl", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["complete"]
    items, interactions = done.json["steps"]
    counts = {name: items[name] for name in ("created", "updated", "unchanged", "refused")}
    assert counts == {"created": 2, "updated": 0, "unchanged": 1, "refused": 2}
    assert (interactions["created"], interactions["refused"]) == (3, 3)
    assert "movies.csv:4: movieId: is missing\n" in done.err
    refused = [json.loads(line) for line in (tmp_path / "refused.jsonl").read_text().splitlines()]
    assert [(one["file"], one["line"]) for one in refused] == [
        *(("movies.csv", 4), ("movies.csv", 5)),
        *(("ratings.csv", 5), ("ratings.csv", 6), ("ratings.csv", 7)),
    ]
    assert names(fake.of("ImportItems")[0]) == ["1", "2", "5"]


async def test_rows_that_the_service_refuses_are_told_by_line(
    fake: Fake, recmesh: Recmesh, tmp_path: Path
) -> None:
    path = tmp_path / "films.csv"
    path.write_text("id,title\n1,One\n\n1,Again\n2,Two\n")
    error = RowError(row=1, message="title: too long", field="title")
    answer = ImportItemsResponse(created_count=1, failed_count=1, errors=[error])
    fake.script("ImportItems", answer, answer)
    done = await recmesh("import", "films", path)
    assert done.code == 0
    assert done.out.startswith("items: 1 new, 0 changed, 0 as they were, 2 refused (")
    assert "films.csv:4: id: an earlier row has the same\n" in done.err
    assert "films.csv:5: title: too long\n" in done.err
    done = await recmesh("import", "films", path, "--strict", "--show-errors", "1")
    assert done.code == 1
    assert "films.csv:5" not in done.err
    assert "More rows are refused; --errors FILE keeps them all." in done.err


async def test_more_refusals_than_an_answer_holds(
    fake: Fake, recmesh: Recmesh, tmp_path: Path
) -> None:
    path = table(tmp_path / "films.csv", 4)
    first = ImportItemsResponse(failed_count=3, created_count=1, errors=[RowError(row=1)])
    rest = ImportItemsResponse(failed_count=2, errors=[RowError(row=0), RowError(row=1)])
    fake.script("ImportItems", first, rest)
    done = await recmesh("import", "films", path, "--json")
    assert [names(call) for call in fake.of("ImportItems")] == [["0", "1", "2", "3"], ["2", "3"]]
    step = done.json["steps"][0]
    assert (step["created"], step["unchanged"], step["refused"]) == (1, 0, 3)
    assert [line for line in (3, 4, 5) if f"films.csv:{line}:" in done.err] == [3, 4, 5]


async def test_a_service_that_was_away_is_asked_again(
    fake: Fake, recmesh: Recmesh, tmp_path: Path
) -> None:
    path = table(tmp_path / "films.csv", 1)
    away = Failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=0.01)
    fake.script("ImportItems", away, ImportItemsResponse(created_count=1))
    done = await recmesh("import", "films", path)
    assert done.code == 0
    assert "Trying again in 0 s: no\n" in done.err
    assert [names(call) for call in fake.of("ImportItems")] == [["0"], ["0"]]


async def test_rows_go_in_pieces(fake: Fake, recmesh: Recmesh, tmp_path: Path) -> None:
    path = table(tmp_path / "films.csv", 5001)
    fake.script(
        "ImportItems", ImportItemsResponse(created_count=5000), ImportItemsResponse(created_count=1)
    )
    done = await recmesh("import", "films", path, "--json")
    assert done.json["steps"][0]["created"] == 5001
    assert [len(names(call)) for call in fake.of("ImportItems")] == [5000, 1]


async def test_nothing_but_wrong_rows_is_a_failure(
    fake: Fake, recmesh: Recmesh, tmp_path: Path
) -> None:
    path = tmp_path / "films.jsonl"
    path.write_text("{}\n")
    assert (await recmesh("import", "films", path)).code == 1


async def test_no_catalog_is_a_line_and_one_can_be_made(
    fake: Fake, recmesh: Recmesh, tmp_path: Path
) -> None:
    path = table(tmp_path / "films.csv", 1)
    fake.script("GetCatalog", Failure(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", "None."))
    done = await recmesh("import", "films", path)
    assert (done.code, done.err) == (1, "Error: None. --create makes it.\n")
    made = Failure(grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS")
    fake.script("CreateCatalog", Catalog(name="catalogs/films"), made)
    fake.always("ImportItems", lambda _: ImportItemsResponse(created_count=1))
    assert (await recmesh("import", "films", path, "--create")).code == 0
    assert (await recmesh("import", "films", path, "--create")).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing.csv"],
        ["films.csv", "--map", "titel=title"],
        ["films.csv", "--map", "title=Name"],
        ["films.csv", "--set", "title"],
        ["films.csv", "--require", "nothing"],
        ["films.csv", "--format", "movielens"],
        ["films.csv", "--mapping", "films.csv"],
    ],
)
async def test_what_cannot_be_read_is_said_before_anything_is_sent(
    fake: Fake, recmesh: Recmesh, tmp_path: Path, arguments: list[str]
) -> None:
    table(tmp_path / "films.csv", 1)
    done = await recmesh("import", "films", *arguments)
    assert (done.code, done.out, done.err[:6]) == (2, "", "Error:")
    assert not fake.calls


async def test_only_what_is_wanted(fake: Fake, recmesh: Recmesh, tmp_path: Path) -> None:
    ids = tmp_path / "ids.csv"
    ids.write_text("movieId,href\n1,The_Lamp\n")
    fake.script("ImportInteractions", ImportInteractionsResponse(created_count=2))
    folder = movielens(tmp_path / "ml")
    done = await recmesh(
        "import", "films", folder, "--kind", "interactions", "--item-ids", ids, "--json"
    )
    assert [step["left_out"] for step in done.json["steps"]] == [1]
    rows = fake.of("ImportInteractions")[0].requests[0].interactions
    assert {row.item for row in rows} == {"catalogs/films/items/The_Lamp"}


async def test_stopped_by_hand_it_says_how_far_it_came(
    fake: Fake, environment: dict[str, str], tmp_path: Path
) -> None:
    path = table(tmp_path / "films.csv", 6000)
    hang = Hang()
    fake.script("ImportItems", ImportItemsResponse(created_count=5000), hang)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recmesh_cli", "import", "films", str(path)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await asyncio.wait_for(hang.asked.wait(), SECONDS)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 130, err.decode()
    assert out.decode().startswith("items: 5,000 new, 0 changed")
    assert "Stopped. What is counted below is written; run it again to go on.\n" in err.decode()
    assert "Traceback" not in err.decode()
    await asyncio.wait_for(hang.cancelled.wait(), SECONDS)


async def test_the_bar_shows_rows_rate_errors_and_time(
    fake: Fake, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "films.csv"
    path.write_text("id,title\n1,One\n2,\n3,Three\n")
    fake.script("ImportItems", ImportItemsResponse(created_count=2))
    screen, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recmesh_cli", "import", "films", str(path)),
        env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    shown = asyncio.create_task(asyncio.to_thread(read_all, screen))
    out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    said = await asyncio.wait_for(shown, SECONDS)
    assert process.returncode == 0
    assert out.decode().startswith("items: 2 new")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert "films.csv:3: title: is missing" in plain
    last = plain.replace("\r", "\n").strip().splitlines()[-1]
    assert re.fullmatch(r"items +━+ 100% 3 rows [\d,]+/s 1 errors \d:\d\d:\d\d", last.strip())


def read_all(screen: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(screen, 65536)
        except OSError:  # the other side is closed
            part = b""
        if not part:
            os.close(screen)
            return b"".join(parts).decode()
        parts.append(part)
