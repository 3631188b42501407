"""A client that has no .proto file finds its way: buf's curl, written by others and in another language."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LocalMesh
from tests.test_contract_walk import SERVICES

pytestmark = pytest.mark.xdist_group("mesh")

BUF = Path(sys.executable).with_name("buf")


def buf_curl(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - a list, no shell
        [BUF, "curl", "--http2-prior-knowledge", "--protocol", "grpc", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@pytest.mark.parametrize("server", SERVICES)
def test_a_server_lists_its_services(local_mesh: LocalMesh, server: str) -> None:
    listed = buf_curl("--list-services", f"http://{getattr(local_mesh.targets, server)}").split()
    assert {descriptor.full_name for descriptor in SERVICES[server]} <= set(listed)
    assert "grpc.health.v1.Health" in listed


def test_a_method_is_called_by_what_reflection_says(local_mesh: LocalMesh) -> None:
    url = f"http://{local_mesh.targets.auth}/recmesh.auth.v1.AuthService/GetJwks"
    (key,) = json.loads(buf_curl(url))["keys"]
    assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
