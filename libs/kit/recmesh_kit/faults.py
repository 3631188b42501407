"""Faults at named points of the code, for tests: a process that is told of a folder breaks where a file in it says.

A file `POINT` in the folder arms a fault there, `POINT@KEY` one for that key alone. Its content is the action: `crash`
(as by SIGKILL), `pause` (as by SIGSTOP), `error` (raises `Unavailable`) or `defect` (raises `RuntimeError`). It fires
once, in one of the processes that look; with ` always` behind the action, each time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from recmesh_kit.errors import Unavailable

_folder: Path | None = None


def arm(folder: Path | None) -> None:
    """Says where this process looks for faults; nowhere by default."""
    global _folder
    _folder = folder


def reach(point: str, keys: Iterable[str] = ()) -> None:
    """Passes a point. Without a folder nothing happens, and the keys are not looked at.

    Args:
        point: Its name.
        keys: Whom it is about.

    Raises:
        Unavailable, RuntimeError: If that is armed.
    """
    if _folder is not None:
        for name in (point, *(f"{point}@{key}" for key in keys)):
            _fire(_folder / name)


def _fire(armed: Path) -> None:
    try:
        action = armed.read_text().split()
        if "always" not in action:
            # Of several that are here at once, whoever removes it has it.
            armed.unlink()
    except OSError:
        return
    match action[:1]:
        case ["crash"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["pause"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        case ["error"]:
            raise Unavailable(f"The fault {armed.name} was armed.")
        case ["defect"]:
            raise RuntimeError(f"the fault {armed.name} was armed")
        case _:
            raise ValueError(f"no such fault: {' '.join(action)}")
