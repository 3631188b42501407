"""Which process listens: several may share a port."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"
_ADDRESS, _STATE, _INODE = 1, 3, 9
"""Columns of `/proc/net/tcp` (proc_net_tcp in the kernel's documentation)."""


def listens(pid: int, port: int) -> bool:
    """Whether a process, of this user, listens on a TCP port."""
    process = Path(f"/proc/{pid}")
    try:
        rows = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in (process / "net" / table).read_text().splitlines()[1:]
        ]
        files = set(_targets(process / "fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        # It has ended.
        return False
    return any(
        row[_STATE] == _LISTEN
        and int(row[_ADDRESS].rpartition(":")[2], 16) == port
        and f"socket:[{row[_INODE]}]" in files
        for row in rows
    )


def _targets(folder: Path) -> Iterator[str]:
    for file in folder.iterdir():
        # Some are closed while they are listed.
        with suppress(FileNotFoundError):
            yield str(file.readlink())
