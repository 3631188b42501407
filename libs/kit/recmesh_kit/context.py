"""What is known of the call in hand: one value a call, carried by a context variable."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass

from recmesh_kit.errors import Unauthenticated
from recmesh_kit.principal import Principal


@dataclass(slots=True)
class Call:
    """A call in hand.

    Attributes:
        method: `/package.Service/Method`.
        request_id: The caller's `x-request-id`, or one made here.
        deadline: `time.monotonic()` after which nobody waits for the answer.
        principal: Who is calling; None in a public method.
    """

    method: str
    request_id: str
    deadline: float
    principal: Principal | None = None


_call: ContextVar[Call | None] = ContextVar("recmesh_call", default=None)


def begin(call: Call) -> None:
    """Makes `call` the one in hand, for the task that runs now."""
    _call.set(call)


def current_call() -> Call | None:
    """The call in hand; None outside of calls."""
    return _call.get()


def caller() -> Principal:
    """Who is calling.

    Raises:
        Unauthenticated: Nobody that is known.
    """
    call = _call.get()
    if call is None or call.principal is None:
        raise Unauthenticated("Sign in, and send the token as `authorization: Bearer …` metadata.")
    return call.principal


def remaining() -> float | None:
    """Seconds until the deadline of the call in hand, at least 0; None outside of calls."""
    call = _call.get()
    return None if call is None else max(0.0, call.deadline - time.monotonic())
