"""What becomes of the rows of an import or a batch."""

from __future__ import annotations

from dataclasses import dataclass

from recmesh_client.reasons import ErrorReason


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that was refused. The rows beside it are not affected.

    Attributes:
        row: Position of the row in the whole call, from 0.
        id: The row's own id as it was sent; empty when it had none.
        reason: Why.
        message: A sentence that says what to change.
        field: The field at fault, as a path from the row; empty when the fault is not in one field.
    """

    row: int
    id: str
    reason: ErrorReason
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        created: How many rows were new.
        updated: How many changed what was known. Always 0 for interactions.
        unchanged: How many said what was known already.
        failed: How many were refused.
        errors: Why, for the first 1,000 refused rows.
    """

    created: int
    updated: int
    unchanged: int
    failed: int
    errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is.

    Attributes:
        sent: Rows that the service has been given.
        done: True once, at the end: the service has written them.
    """

    sent: int
    done: bool
