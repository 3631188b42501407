"""Which combinations there are, and what is said of them in the end."""

import re
from pathlib import Path

import pytest

from manifests.combinations import Combination, chosen, copy_of, write
from manifests.documents import Finding
from manifests.errors import ManifestError
from manifests.kustomize import Kustomize
from manifests.render import Outcome, render, report, settle

COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
OVERLAY = """
namespace: mesh
resources: [../../base]
components: [{components}]
secretGenerator: [{{name: auth, files: [secrets/auth/DATABASE_URL]}}]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two overlays: dev names postgres and queue-hpa, prod queue-hpa."""
    files = {
        "base/kustomization.yaml": "configMapGenerator: [{name: base, literals: [a=1]}]\n",
        **{
            f"components/{name}/kustomization.yaml": f"{COMPONENT}"
            f"configMapGenerator: [{{name: {name}, literals: [a=1]}}]\n"
            for name in ("postgres", "queue-hpa", "keda", "more")
        },
        "overlays/dev/kustomization.yaml": OVERLAY.format(
            components="../../components/postgres, ../../components/queue-hpa"
        ),
        "overlays/prod/kustomization.yaml": OVERLAY.format(components="../../components/queue-hpa"),
        "overlays/prod/secrets/auth/DATABASE_URL": "the real one",
    }
    for path, text in files.items():
        file = tmp_path / "shipped" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "shipped"


def test_each_component_alone_and_all_together(tree: Path) -> None:
    assert [str(one) for one in chosen(tree, every=False)] == [
        "dev",
        "dev: no component",
        "dev: keda",
        "dev: more",
        "dev: postgres",
        "dev: queue-hpa",
        "dev: keda, more, postgres",
        "dev: more, postgres, queue-hpa",
        "prod",
        "prod: no component",
        "prod: keda",
        "prod: more",
        "prod: queue-hpa",
        "prod: keda, more",
        "prod: more, queue-hpa",
    ]


def test_every_combination_has_one_scaler_at_most(tree: Path) -> None:
    sets = [one.components for one in chosen(tree, every=True) if not one.as_shipped]
    assert len(sets) == len(set(sets)) + 6 == 12 + 6  # what goes with prod goes with dev
    assert not any({"keda", "queue-hpa"} <= {*some} for some in sets)


def test_renders_with_secrets_of_its_own(tree: Path, tmp_path: Path) -> None:
    copy = copy_of(tree, tmp_path)
    folder = write(copy, Combination("prod", ("keda",)), 1)
    documents = Kustomize.found().build(folder)
    names = sorted(document["metadata"]["name"].rpartition("-")[0] for document in documents)
    assert names == ["auth", "base", "keda"]
    made = (copy / "overlays/prod/secrets/auth/DATABASE_URL").read_text()
    assert made.startswith("postgresql://recmesh_auth:")


def test_renders_after_a_key_was_changed(tree: Path, tmp_path: Path) -> None:
    overlay = tree / "overlays/prod/kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("auth/DATABASE_URL", "signing/0002.pem"))
    copy = copy_of(tree, tmp_path)
    assert "PRIVATE KEY" in (copy / "overlays/prod/secrets/signing/0002.pem").read_text()


def test_a_warning_is_an_error(tree: Path) -> None:
    (tree / "base" / "kustomization.yaml").write_text("commonLabels: {a: b}\n")
    with pytest.raises(ManifestError, match="commonLabels"):
        Kustomize.found().build(tree / "base")


def test_goes_on_after_what_cannot_be_built(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = tree / "components" / "more" / "kustomization.yaml"
    more.write_text(more.read_text() + "resources: [nowhere.yaml]\n")
    assert render(tree) == 1
    said = capsys.readouterr().out
    assert re.search(r"^prod: kustomize build: .*nowhere.yaml", said, re.MULTILINE)
    assert re.search(r"^prod: more +0  1 findings$", said, re.MULTILINE)
    assert re.search(r"^ConfigMap base-\w+: is used by nobody  \[", said, re.MULTILINE)


def test_what_another_combination_has_is_not_missing() -> None:
    missing = Finding("NetworkPolicy x", "the peer selects no pod", elsewhere=True)
    wrong = Finding("Service x", "selects no pod")
    outcomes = [
        Outcome(Combination("dev", ()), 3, [missing, wrong]),
        Outcome(Combination("dev", ("more",)), 3, []),
        Outcome(Combination("prod", ()), 3, [missing]),
        Outcome(Combination("prod", ("more",)), 3, [missing]),
    ]
    settle(outcomes)
    assert [outcome.findings for outcome in outcomes] == [[wrong], [], [missing], [missing]]


def test_says_where_and_how_often(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Finding("Service x", "selects no pod")
    outcomes = [
        Outcome(Combination("dev", ("more",), as_shipped=True), 3, [wrong]),
        Outcome(Combination("prod", ()), 4, []),
    ]
    assert report(outcomes) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Service x: selects no pod  [dev]",
        "",
        "combination         documents",
        "dev                         3  1 findings",
        "prod: no component          4  ok",
    ]
    assert report(outcomes[1:]) == 0
