import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recmesh_kit import faults
from recmesh_kit.errors import Unavailable


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    faults.arm(tmp_path)
    yield tmp_path
    faults.arm(None)


def never() -> Iterator[str]:
    raise AssertionError("the keys were looked at")
    yield ""


def test_nothing_happens_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("crash")
    faults.reach("here", never())


def test_fires_once_at_its_point_and_key(folder: Path) -> None:
    (folder / "here").write_text("error")
    (folder / "there@ada").write_text("defect always")
    faults.reach("elsewhere")
    with pytest.raises(Unavailable):
        faults.reach("here")
    faults.reach("here")
    faults.reach("there", ["bob"])
    for _ in range(2):
        with pytest.raises(RuntimeError):
            faults.reach("there", ["bob", "ada"])


@pytest.mark.parametrize(("action", "code"), [("crash", -9)])
def test_ends_the_process(tmp_path: Path, action: str, code: int) -> None:
    (tmp_path / "here").write_text(action)
    program = (
        "import sys, pathlib; from recmesh_kit import faults;"
        " faults.arm(pathlib.Path(sys.argv[1])); faults.reach('here')"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)  # noqa: S603
    assert ended.returncode == code
