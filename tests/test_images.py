"""What an image installs is what its service asks for, and no more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _needs(service: str, output: Path) -> tuple[list[str], list[str]]:
    """Our folders, those that are needed first, and the packages of others."""
    script = ROOT / "deploy/docker/requirements.py"
    argv = [sys.executable, str(script), f"services/{service}", str(output)]
    subprocess.run(argv, cwd=ROOT, check=True)  # noqa: S603
    own, others = (output / name for name in ("own.txt", "others.txt"))
    return own.read_text().splitlines(), others.read_text().splitlines()


@pytest.mark.parametrize("service", ["auth", "catalog", "recommender", "worker"])
def test_torch_is_the_workers_alone(service: str, tmp_path: Path) -> None:
    _, others = _needs(service, tmp_path)
    assert ("torch" in others) == (service == "worker")


def test_libraries_come_first_and_extras_when_asked_for(tmp_path: Path) -> None:
    own, others = _needs("recommender", tmp_path)
    assert own == ["./libs/stubs", "./libs/kit", "./libs/jobs", "./services/recommender"]
    assert "grpcio" in others
    assert "numpy" not in others
