"""Starts the command line."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from recmesh_cli.app import app


def main() -> NoReturn:
    """Runs a command; what goes wrong becomes a line on standard error and an exit code."""
    # What goes wrong is told in a line; gRPC would log some of it, too.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has had enough; there is nobody to tell, and nothing to flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from recmesh_cli.failures import FAILED, line_and_code
        from recmesh_cli.screen import note

        if os.environ.get("RECMESH_DEBUG"):
            raise
        unforeseen = f"Error: {type(error).__name__}: {error} (RECMESH_DEBUG=1 shows where)"
        line, code = line_and_code(error) or (unforeseen, FAILED)
        note(line)
        sys.exit(code)
    sys.exit(0)


if __name__ == "__main__":
    main()
