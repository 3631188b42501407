"""Rules of Dockerfiles."""

from pathlib import Path

import pytest

from manifests.dockerfiles import Dockerfile, check

GOOD = """
# One image for each of two services.
ARG BASE=python:3.11-slim
ARG SERVICE
FROM ${BASE} AS builder
RUN a && \\
    # in between
    b
FROM ${BASE} AS image
COPY --from=builder /a /a
USER 10001:10001
FROM image AS auth
ENTRYPOINT ["python", "-m", "recmesh_auth"]
FROM image AS catalog
ENTRYPOINT ["python", "-m", "recmesh_catalog"]
FROM ${SERVICE}
"""


def said(folder: Path, text: str) -> list[str]:
    file = folder / "service.Dockerfile"
    file.write_text(text)
    return [finding.what for finding in check(Dockerfile.read(file))]


def test_nothing_is_said_of_what_is_right(tmp_path: Path) -> None:
    assert said(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("there", "instead", "what"),
    [
        ("FROM ${BASE} AS image", "FROM python:3.11 AS image", "said by a build argument"),
        ("ARG BASE=python:3.11-slim", "", "no ARG BASE before the first FROM"),
        ("python:3.11-slim", "python:latest", "may be another tomorrow"),
        ("python:3.11-slim", "python", "has no tag"),
        ('["python", "-m", "recmesh_auth"]', "python -m recmesh_auth", "not in exec form"),
        ('ENTRYPOINT ["python", "-m", "recmesh_catalog"]', "", "has no ENTRYPOINT"),
        ("USER 10001:10001", "USER recmesh", "USER recmesh: a number"),
        ("USER 10001:10001", "USER 0", "USER 0: a number"),
        ("USER 10001:10001", "", "USER root: a number"),
        ("COPY --from=builder /a /a", "ADD https://example.org/a /a", "COPY does"),
    ],
)
def test_finds(tmp_path: Path, there: str, instead: str, what: str) -> None:
    assert there in GOOD
    assert any(what in one for one in said(tmp_path, GOOD.replace(there, instead)))
