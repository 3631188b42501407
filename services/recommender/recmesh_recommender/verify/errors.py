"""What can go wrong in a comparison."""

from __future__ import annotations

from recmesh_kit.errors import Exhausted

AGAIN_SECONDS = 10.0


class AlreadyComparing(Exhausted):
    """A comparison reads everything: one at a time is enough for a process."""

    def __init__(self) -> None:
        super().__init__(
            "This recommender is comparing an index already: come back when it is done.",
            retry_after=AGAIN_SECONDS,
        )
