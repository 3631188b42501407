from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sdk.python.tests.fake import Fake, running

SECONDS = 300


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Recmesh = Callable[..., Awaitable[Done]]


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with running() as started:
        yield started


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where sign-ins are kept; nobody is signed in."""
    return tmp_path / "config" / "recmesh"


@pytest.fixture
def environment(fake: Fake, config: Path) -> dict[str, str]:
    """What commands run with."""
    services = ("AUTH", "CATALOG", "RECOMMENDER")
    alien = ("RECMESH_", "NO_COLOR", "COLUMNS")
    own = {k: v for k, v in os.environ.items() if not k.startswith(alien)}
    return {
        **own,
        "XDG_CONFIG_HOME": str(config.parent),
        **{f"RECMESH_{service}_TARGET": fake.target for service in services},
    }


@pytest.fixture
def signed_in(fake: Fake, config: Path) -> None:
    """Somebody is signed in, for good."""
    config.mkdir(parents=True)
    kept = {"version": 1, "sign_ins": {fake.target: {"access_token": "t-1"}}}
    (config / "sign-ins.json").write_text(json.dumps(kept))


@pytest.fixture
def recmesh(environment: dict[str, str], tmp_path: Path) -> Recmesh:
    """Runs a command in a process of its own."""

    async def run(*arguments: str | Path, stdin: str = "", **variables: str) -> Done:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "recmesh_cli"),
            *arguments,
            env={**environment, **variables},
            cwd=tmp_path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), SECONDS)
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Done(process.returncode, out.decode(), err.decode())

    return run
