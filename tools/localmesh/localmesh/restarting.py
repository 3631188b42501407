"""`restart`: asked for by a file, so that whoever asks may go away; what comes of it stands in the state file."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from localmesh.children import POLL_SECONDS
from localmesh.errors import MeshError
from localmesh.mesh import Mesh
from localmesh.paths import Paths
from localmesh.servers import kind
from localmesh.state import MeshState, Restart, running_state
from recmesh_kit.tasks import end_if_cancelled

_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 60.0
_KNOWN = 10
"""Of so many restarts the outcome is known. Whoever asked may look for it when the next one is in hand."""


class Restarts:
    """The supervisor's side.

    Args:
        paths: Where the request is found.
        changed: Called when there is news of a restart.
    """

    def __init__(self, paths: Paths, changed: Callable[[], None]) -> None:
        self._paths = paths
        self._changed = changed
        self.known: list[Restart] = []
        """The latest, the last of which may be in hand."""
        paths.restart.unlink(missing_ok=True)

    async def serve(self, mesh: Mesh) -> None:
        """Does what is asked for. Nothing else can be asked for meanwhile."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # There is none, or whoever asked has given up just now; or the disk is full.
            with suppress(OSError):
                request = json.loads(self._paths.restart.read_text())
                await self._do(mesh, Restart(request["id"]), request["names"])
            # Whoever asks a server whether it is ready may have lost the word to end.
            end_if_cancelled()

    async def _do(self, mesh: Mesh, restart: Restart, names: Sequence[str]) -> None:
        error = ""
        try:
            self._tell(restart)
            for name in names:
                await mesh.restart(name)
                end_if_cancelled()
                restart = replace(restart, done=[*restart.done, name])
                self._tell(restart)
        except Exception as failure:
            # Whatever it is: whoever asked waits for it.
            error = str(failure) or repr(failure)
        finally:
            self._paths.restart.unlink(missing_ok=True)
        self._tell(replace(restart, over=True, error=error))

    def _tell(self, restart: Restart) -> None:
        before = [known for known in self.known if known.id != restart.id]
        self.known = [*before, restart][-_KNOWN:]
        self._changed()


def chosen(state: MeshState, wanted: Sequence[str]) -> list[str]:
    """The programs that are meant, in the order in which they are to go: each before what it needs itself.

    Args:
        state: What runs.
        wanted: Names, or kinds of which all are meant (`worker`); empty for everything.

    Raises:
        MeshError: Nothing of that name runs.
    """
    names = [member.name for member in state.members]
    for one in wanted:
        if not any(one in (name, kind(name)) for name in names):
            msg = f"there is no {one}: {', '.join(names)} run"
            raise MeshError(msg)
    return [
        name for name in reversed(names) if not wanted or name in wanted or kind(name) in wanted
    ]


def ask(paths: Paths, names: Sequence[str]) -> str:
    """Asks the supervisor to restart these, in this order, and returns the request's id. Raises MeshError while what
    somebody else has asked for is not over.
    """
    request = str(uuid.uuid4())
    new = paths.restart.with_suffix(f".{request}")
    new.write_text(json.dumps({"id": request, "names": list(names)}))
    try:
        os.link(new, paths.restart)
    except FileExistsError:
        raise MeshError("another restart is in hand: wait for its end") from None
    finally:
        new.unlink()
    return request


def await_end(paths: Paths, request: str, heard: Callable[[str], None]) -> MeshState:
    """Waits until what was asked for is over. Returns how the mesh stands then.

    Args:
        paths: The mesh.
        request: As `ask` returned it.
        heard: Told each name, once its program is a new one.

    Raises:
        MeshError: It did not go well, or the mesh stopped.
    """
    told, deadline = 0, time.monotonic() + _ANSWER_SECONDS
    while (state := running_state(paths)) is not None:
        restart = next((known for known in state.restarts if known.id == request), None)
        if restart is not None:
            for name in restart.done[told:]:
                heard(name)
            told = len(restart.done)
            if restart.error:
                raise MeshError(restart.error)
            if restart.over:
                return state
        elif time.monotonic() > deadline:
            paths.restart.unlink(missing_ok=True)
            raise MeshError("the supervisor does not answer: `down` and `up` start it anew")
        time.sleep(POLL_SECONDS)
    raise MeshError("the mesh stopped meanwhile")
