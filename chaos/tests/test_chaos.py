"""The short form: a real mesh, broken for 20 seconds, and nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from chaos.breaking import LEAST
from chaos.outcome import LEAST_RATE
from localmesh.paths import checkout

SEED = 20
SECONDS = 20
LIMIT_SECONDS = 2400
"""More than the bounds of all that it waits for."""


@pytest.mark.xdist_group("chaos")
def test_nothing_is_lost_in_a_short_run() -> None:
    done = subprocess.run(  # noqa: S603 - a list, no shell
        [sys.executable, "-m", "chaos", "--seconds", str(SECONDS), "--seed", str(SEED)],
        cwd=checkout(),
        env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    lines = done.stdout.splitlines()
    broken = [line for line in lines if line.startswith("chaos: ") and ": seed " not in line]
    # A machine that has other things to do accepts fewer.
    assert all(line.endswith(f", not {LEAST_RATE * SECONDS:.0f}") for line in broken), done.stdout
    assert (done.returncode == 0) is (not broken), done.stdout
    told = json.loads(lines[-1])
    assert told["seed"] == SEED
    nothing = ("lost", "doubled", "wrong_owner", "untyped", "broken", "refused", "unknown", "stale")
    assert {name: told[name] for name in nothing} == dict.fromkeys(nothing, 0)
    ends = ("succeeded", "failed", "expired", "cancelled")
    assert sum(told[name] for name in ends) == told["accepted"] >= LEAST_RATE
    assert told["kills"] > 0
    assert sum(told["disturbances"].values()) + told["skipped"] <= LEAST
