"""How often a message came back unsettled: one that kills whoever takes it does, again and again."""

from __future__ import annotations

from recmesh_kit.broker import Delivery

SUSPICIOUS = 3
"""So often, and it may be such a one. Ends of workers and of connections count as well, and so do messages that were
given back because a newer worker understands them: nothing that is needed is thrown away for this alone."""
_COUNT = "x-delivery-count"


def returns(delivery: Delivery) -> int:
    """How often it came back, as the broker counts it; `SUSPICIOUS` where its headers are none."""
    if not delivery.redelivered:
        return 0
    try:
        count = delivery.headers.get(_COUNT)
    except Exception:
        # Whatever they are: they are not to break the batch, again and again.
        return SUSPICIOUS
    return count if isinstance(count, int) else 1
