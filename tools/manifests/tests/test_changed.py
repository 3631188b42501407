"""Which images a change is in."""

import subprocess
from pathlib import Path

import pytest

from localmesh.paths import checkout
from manifests import changed
from manifests.tree import packages, services

ALL = ["auth", "catalog", "recommender", "worker"]


def test_knows_the_services() -> None:
    assert services(checkout()) == ALL
    assert packages(checkout())["recmesh-jobs"].folder == "libs/jobs"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("services/auth/recmesh_auth/servicer.py", ["auth"]),
        ("services/auth/pyproject.toml", ["auth"]),
        ("services/auth/tests/test_keys.py", []),
        ("libs/kit/recmesh_kit/settings.py", ALL),
        ("libs/stubs/recmesh/auth/v1/auth_service_pb2.py", ALL),
        ("libs/jobs/recmesh_jobs/job.py", ["recommender", "worker"]),
        ("libs/jobs/tests/test_upgrade.py", []),
        ("constraints.txt", ALL),
        ("deploy/docker/worker.Dockerfile", ["worker"]),
        ("deploy/docker/service.Dockerfile.dockerignore", ["auth", "catalog", "recommender"]),
        ("deploy/docker/requirements.py", ALL),
        ("deploy/docker/README.md", []),
        ("deploy/k8s/base/auth/deployment.yaml", []),
        ("docs/operations.md", []),
        ("sdk/python/recmesh_client/data.py", []),
        ("tools/localmesh/localmesh/plan.py", []),
        ("protos/recmesh/auth/v1/auth_service.proto", []),
    ],
)
def test_touches(path: str, names: list[str]) -> None:
    assert changed.touched(checkout(), [path]) == names


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """main goes on after a branch has left it: there is a second commit on either."""
    project = '[project]\nname = "{}"\ndependencies = {}\n'
    for folder, needs in (("libs/kit", []), ("services/a", ["kit"]), ("services/b", [])):
        (tmp_path / folder).mkdir(parents=True)
        name = folder.rpartition("/")[2]
        (tmp_path / folder / "pyproject.toml").write_text(project.format(name, needs))
    git(tmp_path, "init", "--initial-branch=main")
    commit(tmp_path, "libs/kit/one.py")
    git(tmp_path, "switch", "--create", "branch")
    commit(tmp_path, "services/b/two.py")
    git(tmp_path, "switch", "main")
    commit(tmp_path, "libs/kit/three.py")
    return tmp_path


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    command = ("git", *who, *words)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603


def commit(folder: Path, path: str) -> None:
    (folder / path).write_text("")
    git(folder, "add", ".")
    git(folder, "commit", "--message", path)


def test_only_the_branch_s_own_change_counts(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert changed.main(["main", "branch", "--root", str(repository)]) == 0
    assert capsys.readouterr().out == "b\n"
    assert changed.main(["main~1", "main", "--root", str(repository)]) == 0
    assert capsys.readouterr().out == "a\n"


def test_all_are_new_on_a_new_branch(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert changed.main(["0" * 40, "--root", str(repository)]) == 0
    assert capsys.readouterr().out == "a b\n"


def test_says_when_there_is_no_such_commit(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert changed.main(["nowhere", "--root", str(repository)]) == 1
    assert "nowhere" in capsys.readouterr().err
