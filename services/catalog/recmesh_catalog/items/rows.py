"""The rows of an import: which are good, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from recmesh.catalog.v1.item_pb2 import Item as ItemMessage
from recmesh.common.v1.error_reason_pb2 import RowError
from recmesh_catalog.imports import row_error
from recmesh_catalog.items.converters import to_item
from recmesh_catalog.items.item import Item
from recmesh_catalog.names import catalog_name
from recmesh_kit.names import ids
from recmesh_kit.validation import violations


@dataclass(slots=True)
class Rows:
    """The rows of one message of an import.

    Attributes:
        good: Their ids do not repeat.
        bad: Why the others are refused.
    """

    good: list[Item] = field(default_factory=list)
    bad: list[RowError] = field(default_factory=list)


def sort_out(catalog: str, messages: Sequence[ItemMessage], first: int) -> Rows:
    """Tells the good rows of a message from the bad ones.

    Of good rows with the same id the last one counts, as it would had they come in two messages; those before it are
    reported, because they were most likely not meant.

    Args:
        catalog: The id of the catalog that they must be in.
        messages: The rows.
        first: Position of the first one in the whole call, from 0.
    """
    rows = Rows()
    faults = [_fault(catalog, message) for message in messages]
    last = {
        message.name: position
        for position, (message, fault) in enumerate(zip(messages, faults, strict=True), first)
        if fault is None
    }
    for position, (message, fault) in enumerate(zip(messages, faults, strict=True), first):
        if fault is None and last[message.name] != position:
            fault = "name", f"comes again in row {last[message.name]}, which takes its place"
        if fault is None:
            rows.good.append(to_item(ids(message.name)[1], message))
        else:
            rows.bad.append(row_error(position, message.name, *fault))
    return rows


def _fault(catalog: str, message: ItemMessage) -> tuple[str, str] | None:
    """The first field at fault, and what is wrong with it."""
    for violation in violations(message, row=True):
        return violation.field, violation.message
    if ids(message.name)[0] != catalog:
        return "name", f"must be in {catalog_name(catalog)}"
    return None
