"""The progress bar of an import: rows, rate, errors, time left."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from recmesh_cli.formats.rows import Kind, Refusal
from recmesh_cli.importing.tally import Tally
from recmesh_cli.screen import clean


class _Time(TimeRemainingColumn):
    """The time that is left; at the end, that it took."""

    def render(self, task: Task) -> Text:
        return super().render(task).append("" if task.finished else " left")


class Bar:
    """What is seen of an import while it runs.

    Args:
        console: Where.
        most: Refused rows that are shown; the others are counted.
    """

    def __init__(self, console: Console, most: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TextColumn("{task.fields[errors]:,} errors"),
            _Time(elapsed_when_finished=True),
            console=console,
            expand=True,
        )
        self._most = most
        self._shown = 0
        self._task = self._progress.add_task("", visible=False, rows=0, rate=0.0, errors=0)

    def begin(self, kind: Kind, size: int) -> None:
        """A step begins.

        Args:
            kind: Of which rows.
            size: How much there is to read.
        """
        self._task = self._progress.add_task(kind, total=size, rows=0, rate=0.0, errors=0)

    def at(self, done: int, tally: Tally, sent: int = 0) -> None:
        """How far it is.

        Args:
            done: How much was read.
            tally: What became of the rows.
            sent: Rows that the service was given since.
        """
        tally.tick()
        rows = tally.written + tally.refused + sent
        rate = rows / tally.seconds if tally.seconds else 0.0
        self._progress.update(
            self._task, completed=done, rows=rows, rate=rate, errors=tally.refused
        )

    def refused(self, refusal: Refusal) -> None:
        """A row was refused."""
        self._shown += 1
        if self._shown <= self._most:
            said = clean(f"{refusal.file}:{refusal.line}: {refusal.message}")
        elif self._shown == self._most + 1:
            said = "More rows are refused; --errors FILE keeps them all."
        else:
            return
        self._line(said)

    def waits(self, why: str, seconds: float) -> None:
        """The service is away or full; it is asked again."""
        self._line(clean(f"Trying again in {seconds:.0f} s: {why}"))

    def _line(self, said: str) -> None:
        self._progress.console.print(
            said, style="yellow", markup=False, highlight=False, soft_wrap=True
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(BrokenPipeError):
            self._progress.stop()
