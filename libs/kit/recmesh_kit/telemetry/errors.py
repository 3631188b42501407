"""What keeps a process from being looked at."""

from recmesh_kit.errors import CannotStart


class MetricsUnavailable(CannotStart):
    """The metrics cannot be served where the settings say."""

    def __init__(self, listen: str, why: str) -> None:
        super().__init__(
            f"The metrics cannot be served on {listen}: {why}. "
            "Give RECMESH_METRICS_LISTEN another address, or `off`."
        )
