"""Rules of the workflows of CI."""

from pathlib import Path

import pytest

from manifests import workflows

MAKEFILE = "BIN := x\ncheck: venv ## Check.\nk8s-render:\n\ttrue\n"
GITHUB = """
on: push
permissions: {contents: read}
concurrency: {group: ci}
jobs:
  check:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    env: {TOKEN: "${{ github.token }}"}
    steps:
      - uses: actions/checkout@v6.0.2
      - run: make check
"""
GITLAB = """
default: {timeout: 5 minutes}
check:
  script: [make check]
"""


def test_finds_the_targets_of_a_script() -> None:
    script = """
        make --silent check ARGS="-x y" k8s-render && echo done
        echo "services=${ASKED:-$(make changed BASE="$BASE")}" >> out
        (make images SERVICES="${{ needs.x }}"); A=1 make push
    """
    assert workflows.targets(script) == ["check", "k8s-render", "changed", "images", "push"]


def test_says_what_is_not_called() -> None:
    called = [name for name in workflows.NEEDED if name != "images"]
    assert workflows.missing(called) == ["images"]


@pytest.mark.parametrize(
    ("there", "instead", "what"),
    [
        ("    timeout-minutes: 5\n", "", "job check has no timeout-minutes"),
        ("permissions: {contents: read}", "permissions: write-all", "permissions of all jobs"),
        ("concurrency: {group: ci}\n", "", "concurrency is missing"),
        ("@v6.0.2", "@v6", "actions/checkout@v6 is not pinned"),
        ("@v6.0.2", "@main", "actions/checkout@main is not pinned"),
        ("make check", "make chek", "make chek: the Makefile has no such target"),
        ("make check", "make BIN", "make BIN: the Makefile has no such target"),
        ('"${{ github.token }}"', "hunter2", "TOKEN: hunter2: looks like a secret"),
    ],
)
def test_finds_in_github_s(there: str, instead: str, what: str) -> None:
    assert there in GITHUB
    found = [one.what for one in workflows.github("x", GITHUB.replace(there, instead), MAKEFILE)]
    assert found == [what] or what in found[0]


@pytest.mark.parametrize(
    ("there", "instead", "what"),
    [
        ("default: {timeout: 5 minutes}\n", "", "job check has no timeout"),
        ("make check", "make chek", "make chek: the Makefile has no such target"),
        ("make check", "PASSWORD=hunter2 make check", "PASSWORD=hunter2: looks like a secret"),
    ],
)
def test_finds_in_gitlab_s(there: str, instead: str, what: str) -> None:
    assert there in GITLAB
    found = [one.what for one in workflows.gitlab("x", GITLAB.replace(there, instead), MAKEFILE)]
    assert found == [what]


def test_nothing_is_said_of_what_is_right() -> None:
    assert list(workflows.github("x", GITHUB, MAKEFILE)) == []
    assert list(workflows.gitlab("x", GITLAB, MAKEFILE)) == []


def test_the_schemas_are_there_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    file = tmp_path / "ci.yml"
    file.write_text(GITHUB.replace("on: push", "on: pushed"))
    found = list(workflows.schema(file, "--builtin-schema=vendor.github-workflows"))
    assert found
    assert all("$.on" in finding.what for finding in found)
