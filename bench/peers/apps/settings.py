"""What the processes are told by their environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE_SECONDS = 30.0
"""How long a caller waits for its answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the servers and the items are."""

    database_url: str = field(repr=False)
    amqp_url: str = field(repr=False)
    data: Path

    @classmethod
    def from_environment(cls) -> Settings:
        """`DATABASE_URL`, `AMQP_URL` and `BENCH_DATA`. Raises KeyError when one is missing."""
        return cls(
            os.environ["DATABASE_URL"], os.environ["AMQP_URL"], Path(os.environ["BENCH_DATA"])
        )
