"""Lines on their way to stdout: written by a thread, many at a time, so that a reader that is slow holds up nobody."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections import deque

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
"""How long lines are gathered before they are written."""
MAX_LINES = 20_000
"""Lines that wait for a reader; one more is left out, and counted."""


class Lines:
    """Takes lines from any thread. What waits at the end of the process is written then."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._left_out = 0
        self._told = 0
        self._some = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="log lines", daemon=True)
        atexit.register(self.flush)
        self._thread.start()

    def put(self, line: str) -> None:
        """Has a line written soon; waits for nothing."""
        if len(self._waiting) >= MAX_LINES:
            self._left_out += 1
            return
        self._waiting.append(f"{line}\n")
        if not self._some.is_set():
            self._some.set()

    def flush(self) -> None:
        """Returns when all that was put is written, or cannot be."""
        with self._writing:
            while self._waiting or self._left_out > self._told:
                lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
                if left_out := self._left_out - self._told:
                    self._told += left_out
                    log.warning("log lines left out: nobody read them", extra={"lines": left_out})
                try:
                    # JSON is ASCII; what people read may hold what their terminal cannot say.
                    sys.stdout.buffer.write("".join(lines).encode(errors="backslashreplace"))
                    sys.stdout.buffer.flush()
                except (OSError, ValueError):
                    # Nobody is there to be told.
                    return

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(GATHER_SECONDS)
            # Before they are taken: what comes in between is written at once or wakes anew.
            self._some.clear()
            self.flush()
