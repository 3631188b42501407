"""Options of TCP connections that must not outlive their peer, and of ports that are handed over."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

UNANSWERED_SECONDS = 30
"""How long a peer, or the network, may leave what was sent to it without an answer of TCP's."""


class Socket(Protocol):
    """What `asyncio` gives for a transport's socket."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """As of `socket.socket`."""


def give_up_early(connection: Socket) -> None:
    """Has the system end a connection whose packets get lost, instead of trying for a quarter of an hour; one on which
    nothing is said is probed."""
    user_timeout: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout is None:
        # Not on this system: heartbeats and time limits notice it too, a little later.
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, user_timeout, UNANSWERED_SECONDS * 1000)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, UNANSWERED_SECONDS // 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, UNANSWERED_SECONDS // 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


_SO_ATTACH_REUSEPORT_CBPF = 51
_FILES = Path("/proc/self/fd")


def prefer_newest(port: int) -> None:
    """Has the system give new connections to the newest of two processes that listen on a port, this one among them. It
    would choose by chance: then the older one, when it stops, takes along those that it has not looked at yet.

    See SO_ATTACH_REUSEPORT_CBPF in socket(7). It goes for all who share the port; where it is not to be had, nothing
    changes.
    """
    # "The second of them": of one alone there is none, and then it is that one.
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 1))
    filter_ = struct.pack("HP", 1, ctypes.addressof(program))
    for listener in _listeners(port):
        with listener:
            try:
                listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, filter_)
            except OSError:
                return


def _listeners(port: int) -> Iterator[socket.socket]:
    """This process's own TCP sockets that listen on a port, which may lie deep within a library."""
    for file in _FILES.iterdir() if _FILES.exists() else ():
        try:
            if not str(file.readlink()).startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(file.name)))
        except OSError:
            # Closed meanwhile.
            continue
        internet = found.family in (socket.AF_INET, socket.AF_INET6)
        listening = internet and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listening and found.getsockname()[1] == port:
            yield found
        else:
            found.close()
