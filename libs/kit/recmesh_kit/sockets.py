"""Options of TCP connections that must not outlive their peer."""

from __future__ import annotations

import socket
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
