"""The rows of an import: which are good, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from recmesh.catalog.v1.interaction_pb2 import Interaction as InteractionMessage
from recmesh.common.v1.error_reason_pb2 import RowError
from recmesh_catalog.imports import row_error
from recmesh_catalog.interactions.converters import draft_of
from recmesh_catalog.interactions.interaction import Draft
from recmesh_catalog.interactions.rules import faults
from recmesh_catalog.names import catalog_name
from recmesh_kit.names import ids
from recmesh_kit.validation import violations


@dataclass(slots=True)
class Rows:
    """The rows of one message of an import.

    Attributes:
        good: What they say; an id may repeat.
        bad: Why the others are refused.
    """

    good: list[Draft] = field(default_factory=list)
    bad: list[RowError] = field(default_factory=list)


def sort_out(
    catalog: str, messages: Sequence[InteractionMessage], first: int, now: datetime
) -> Rows:
    """Tells the good rows of a message from the bad ones.

    Args:
        catalog: The id of the catalog that they must be in.
        messages: The rows.
        first: Position of the first one in the whole call, from 0.
        now: The time.
    """
    rows = Rows()
    for position, message in enumerate(messages, first):
        fault = _outer_fault(catalog, message)
        if fault is None:
            draft = draft_of(ids(message.name)[1] if message.name else "", message)
            fault = next(iter(faults(draft, now)), None)
            if fault is None:
                rows.good.append(draft)
                continue
        rows.bad.append(row_error(position, message.name, *fault))
    return rows


def _outer_fault(catalog: str, message: InteractionMessage) -> tuple[str, str] | None:
    """The first field that breaks the contract or reaches into another catalog, and what is wrong with it."""
    # A row without a name gets one.
    for violation in violations(message, row=bool(message.name)):
        return violation.field, violation.message
    for at, name in (("name", message.name), ("item", message.item)):
        if name and ids(name)[0] != catalog:
            return at, f"must be in {catalog_name(catalog)}"
    return None
