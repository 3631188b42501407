"""As whom PostgreSQL runs: it refuses to run as root."""

import os
import signal
import subprocess
from pathlib import Path

from localmesh.children import launcher
from localmesh.errors import MeshError

NOBODY = 65534


def postgres_identity(binary: Path, folder: Path) -> str:
    """The identity (see `localmesh.launch`) that may run `binary` and write in `folder`.

    An ordinary user stays who they are. Root becomes an ordinary user in a user namespace, which
    needs no change to any file; where that is refused, the user nobody, whom `folder` is given to.
    Raises MeshError when neither works.
    """
    if os.geteuid() != 0:
        return "keep"
    if _works("userns", binary, folder):
        return "userns"
    nobody = f"uid:{NOBODY}"
    _give(folder, NOBODY)
    if _works(nobody, binary, folder):
        return nobody
    raise MeshError(
        "PostgreSQL does not run as root, and this machine allows root neither a user namespace "
        "nor another user: run as an ordinary user, or set DATABASE_URL"
    )


def _works(identity: str, binary: Path, folder: Path) -> bool:
    # PostgreSQL's programs look for each other with access(2), as `test -x` does.
    tests = 'test -O "$0" && test -w "$0" && test -x "$1" && exec "$1" -V'
    probe = ("/bin/sh", "-c", tests, folder, binary)
    result = subprocess.run(  # noqa: S603 - a list, no shell
        (*launcher(signal.SIGKILL, identity), *map(str, probe)),
        env={"PATH": os.defpath},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return result.returncode == 0


def _give(folder: Path, uid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)
