"""Sends rows, a piece at a time, so that what is written is known, and each refused row with its line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from recmesh_cli.formats.change import Rows
from recmesh_cli.formats.rows import Kind, Meter, Refusal, Row
from recmesh_cli.importing.progress import Bar
from recmesh_cli.importing.tally import ErrorFile, Tally
from recmesh_cli.sign_in import Session
from recmesh_client import (
    ImportProgress,
    ImportReport,
    Interaction,
    Item,
    ResourceExhausted,
    RowError,
    Unavailable,
)

PIECE_ROWS = 5000
PIECE_CHARACTERS = 8_000_000
"""A piece is sent when it has so many rows or characters."""
Progress = Callable[[ImportProgress], None]
TRIES = 6
"""Of a piece, while the service is away or full; in between it waits 1, 2, 4, … seconds, or as it was told."""


@dataclass(slots=True)
class _Piece:
    rows: list[Row] = field(default_factory=list)
    size: int = 0

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.size += row.size

    @property
    def full(self) -> bool:
        return len(self.rows) >= PIECE_ROWS or self.size >= PIECE_CHARACTERS


class Importer:
    """Writes rows into a catalog.

    Args:
        session: Who writes.
        catalog: The catalog's id.
        bar: Shows how far it is.
        errors: Keeps the refused rows.
    """

    def __init__(self, session: Session, catalog: str, bar: Bar, errors: ErrorFile) -> None:
        self._session = session
        self._catalog = catalog
        self._bar = bar
        self._errors = errors

    def run(self, rows: Rows, size: int, meter: Meter, tally: Tally) -> None:
        """Writes all rows. What was written is in the tally, also when this raises.

        Args:
            rows: Good ones, refused ones and, as None, those that are left out.
            size: What the meter shows at the end.
            meter: Moved by whoever reads the rows.
            tally: Counts of this step.
        """
        self._bar.begin(tally.kind, size)
        before = 0
        try:
            for piece in self._pieces(rows, tally):
                self._send(piece, tally, before, meter.done)
                before = meter.done
                self._bar.at(before, tally)
            self._bar.at(size, tally)
        finally:
            tally.tick()

    def _pieces(self, rows: Rows, tally: Tally) -> Iterator[list[Row]]:
        piece = _Piece()
        for row in rows:
            if row is None:
                tally.left_out += 1
            elif isinstance(row, Refusal):
                self._refuse(row, tally)
            else:
                piece.add(row)
                if piece.full:
                    yield piece.rows
                    piece = _Piece()
        if piece.rows:
            yield piece.rows

    def _send(self, rows: list[Row], tally: Tally, before: int, after: int) -> None:
        def show(progress: ImportProgress) -> None:
            if not progress.done:
                share = progress.sent / len(rows)
                self._bar.at(round(before + (after - before) * share), tally, progress.sent)

        report = self._imported(tally.kind, rows, show)
        tally.created += report.created
        tally.updated += report.updated
        tally.unchanged += report.unchanged
        start = 0
        while True:
            for error in report.errors:
                self._refuse(_refusal(rows[start + error.row], error), tally)
            if report.failed <= len(report.errors) or not report.errors:
                tally.refused += report.failed - len(report.errors)
                return
            # The report names no more than a thousand. The rest, sent again, tells of the others and changes nothing.
            start += report.errors[-1].row + 1
            report = self._imported(tally.kind, rows[start:], None)

    def _imported(self, kind: Kind, rows: Sequence[Row], show: Progress | None) -> ImportReport:
        for attempt in range(TRIES):
            self._session.renew()
            try:
                return self._call(kind, rows, show)
            except (Unavailable, ResourceExhausted) as error:
                if attempt == TRIES - 1:
                    raise
                seconds = error.retry_after or float(2**attempt)
                self._bar.waits(error.message, seconds)
                time.sleep(seconds)
        raise AssertionError

    def _call(self, kind: Kind, rows: Sequence[Row], show: Progress | None) -> ImportReport:
        client = self._session.client
        if kind == "items":
            items = (cast("Item", row.value) for row in rows)
            return client.import_items(self._catalog, items, progress=show)
        interactions = (cast("Interaction", row.value) for row in rows)
        return client.import_interactions(self._catalog, interactions, progress=show)

    def _refuse(self, refusal: Refusal, tally: Tally) -> None:
        tally.refused += 1
        self._errors.write(refusal)
        self._bar.refused(refusal)


def _refusal(row: Row, error: RowError) -> Refusal:
    return Refusal(row.file, row.line, error.message, error.field, row.value.id)
