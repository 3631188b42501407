"""What an interaction must be, and which one it is."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta

from recmesh_catalog.interactions.interaction import Draft, Type, said

FUTURE = timedelta(days=1)
"""How far ahead of this server's clock an event may be."""
_DIGITS = 32


def faults(draft: Draft, now: datetime) -> list[tuple[str, str]]:
    """The fields at fault, and what is wrong with them."""
    wrong = []
    if draft.type is Type.RATING and draft.value is None:
        wrong.append(("value", "is required for a rating"))
    if draft.event_time is not None and draft.event_time > now + FUTURE:
        wrong.append(("event_time", "must not be more than a day in the future"))
    return wrong


def content_id(draft: Draft) -> str:
    """The id of an interaction that was given none: the same for the same content.

    What happened "now" has no time in it, so that it happened once, however often it is sent.
    """
    content = said(draft)
    del content["id"]
    content["event_time"] = draft.event_time and draft.event_time.isoformat()
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
