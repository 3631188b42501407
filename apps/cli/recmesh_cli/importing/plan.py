"""A whole import: its steps, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recmesh_cli import screen
from recmesh_cli.formats.change import Rows, read_item_ids, with_item_ids, without_repeats
from recmesh_cli.formats.rows import Meter, Step
from recmesh_cli.importing.catalog import ensure
from recmesh_cli.importing.progress import Bar
from recmesh_cli.importing.runner import Importer
from recmesh_cli.importing.tally import ErrorFile, Tally
from recmesh_cli.sign_in import Session


@dataclass(slots=True)
class Plan:
    """What is imported, and how far it is.

    Attributes:
        catalog: The catalog's id.
        steps: What is written, in this order.
        create: Make the catalog when there is none.
        item_ids: A table of items' ids in the source and in the catalog.
        errors: Where refused rows are kept.
        show_errors: How many of them are shown.
        tallies: What the steps did that have begun.
        complete: All of it was done.
    """

    catalog: str
    steps: tuple[Step, ...]
    create: bool = False
    item_ids: Path | None = None
    errors: Path | None = None
    show_errors: int = 20
    tallies: list[Tally] = field(default_factory=list)
    complete: bool = False

    def carry_out(self, session: Session) -> None:
        """Writes the rows. What was written is in the tallies, also when this raises."""
        ids = read_item_ids(self.item_ids) if self.item_ids else None
        ensure(session.client, self.catalog, create=self.create)
        with ErrorFile(self.errors) as kept, Bar(screen.err(), self.show_errors) as bar:
            importer = Importer(session, self.catalog, bar, kept)
            for step in self.steps:
                meter = Meter()
                rows: Rows = without_repeats(step.rows(meter))
                if ids is not None:
                    rows = with_item_ids(rows, ids)
                self.tallies.append(Tally(step.kind))
                importer.run(rows, step.size, meter, self.tallies[-1])
        self.complete = True

    @property
    def refused(self) -> int:
        """Rows that were kept out."""
        return sum(tally.refused for tally in self.tallies)

    @property
    def written(self) -> int:
        """Rows that are in the catalog."""
        return sum(tally.written for tally in self.tallies)

    def document(self) -> dict[str, Any]:
        """For programs."""
        steps = [tally.document() for tally in self.tallies]
        return {"catalog": self.catalog, "complete": self.complete, "steps": steps}
