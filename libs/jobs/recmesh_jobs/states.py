"""The states of a job, and the lanes that it is dispatched on. The numbers are stored, and are the contract's."""

from enum import IntEnum


class State(IntEnum):
    """As `recmesh.recommender.v1.Recommendation.State`."""

    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5
    EXPIRED = 6

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self > State.RUNNING


class Lane(IntEnum):
    """Which queue a job is dispatched on. Each kind of work has its own, so that none delays another."""

    INTERACTIVE = 1
    """Somebody waits."""
    BULK = 2
    """Answers that are prepared ahead."""
    SUSPECT = 3
    """An attempt ended without a word: tried again alone, so that it takes no neighbour along."""
