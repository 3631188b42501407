"""What an import did."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from recmesh_cli.formats.rows import Kind, Refusal


@dataclass(slots=True)
class Tally:
    """Counts of a step.

    Attributes:
        kind: What was imported.
        created: Rows that were new.
        updated: Rows that changed what was known.
        unchanged: Rows that said what was known.
        refused: Rows that were kept out because something is wrong with them.
        left_out: Rows that were not wanted.
        seconds: How long it took.
    """

    kind: Kind
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    left_out: int = 0
    seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic, repr=False)

    @property
    def written(self) -> int:
        """Rows that are in the catalog now."""
        return self.created + self.updated + self.unchanged

    def tick(self) -> None:
        """Looks at the clock."""
        self.seconds = time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Rows a second, the refused ones too."""
        return (self.written + self.refused) / self.seconds if self.seconds else 0.0

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kind": self.kind,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "refused": self.refused,
            "left_out": self.left_out,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rate, 1),
        }

    def sentence(self) -> str:
        """For people."""
        parts = [f"{self.created:,} new"]
        if self.kind == "items":
            parts.append(f"{self.updated:,} changed")
        parts.append(f"{self.unchanged:,} as they were")
        parts.append(f"{self.refused:,} refused")
        if self.left_out:
            parts.append(f"{self.left_out:,} left out")
        took = f"{self.seconds:.1f} s, {self.rate:,.0f} rows/s"
        return f"{self.kind}: {', '.join(parts)} ({took})"


class ErrorFile:
    """Refused rows as JSON Lines.

    Args:
        path: Where; None to keep none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def write(self, refusal: Refusal) -> None:
        """Puts a row down."""
        if self._file is not None:
            self._file.write(json.dumps(asdict(refusal), ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = self._path.open("w", encoding="utf-8", errors="replace")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
