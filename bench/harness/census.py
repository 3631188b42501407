"""What the members of a mesh hold: memory, threads, files and connections, looked at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil

MB = 2**20


@dataclass(frozen=True, slots=True)
class Holding:
    """What one member holds: its process and the children of that, together.

    Attributes:
        memory_mb: That nobody else has: what would be free if it ended (USS). Memory that processes share, such as
            PostgreSQL's buffers, belongs to none.
        resident_mb: With what it shares (RSS); of several processes this counts a page several times.
        processes: How many they are.
        threads: Of all of them.
        files: Open ones, sockets among them.
        connections: Established ones to other members, by the first part of their names: `postgres`, `rabbitmq`.
    """

    memory_mb: float
    resident_mb: float
    processes: int
    threads: int
    files: int
    connections: Mapping[str, int]


def look(members: Mapping[str, int]) -> dict[str, Holding]:
    """Member to what it holds. One that is not there is left out.

    Args:
        members: Name to process id.
    """
    families = {name: family for name, pid in members.items() if (family := _family(pid))}
    listening: dict[int, str] = {}
    made: dict[int, list[int]] = {}
    sockets = psutil.net_connections("tcp")
    owners = {one.pid: name for name, family in families.items() for one in family}
    for one in sockets:
        if one.status == psutil.CONN_LISTEN and one.pid in owners and one.laddr:
            listening[one.laddr.port] = owners[one.pid].partition("-")[0]
        elif one.status == psutil.CONN_ESTABLISHED and one.pid is not None and one.raddr:
            made.setdefault(one.pid, []).append(one.raddr.port)
    found = {}
    for name, family in families.items():
        ports = (port for one in family for port in made.get(one.pid, ()))
        to = Counter(listening[port] for port in ports if port in listening)
        found[name] = _holding(family, to)
    return found


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _holding(family: Iterable[psutil.Process], connections: Mapping[str, int]) -> Holding:
    own = resident = processes = threads = files = 0
    for one in family:
        # Some live for a moment only.
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            memory = one.memory_full_info()
            threads += one.num_threads()
            files += one.num_fds()
            own, resident, processes = own + memory.uss, resident + memory.rss, processes + 1
    return Holding(own / MB, resident / MB, processes, threads, files, connections)
