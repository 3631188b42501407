"""What is said: answers to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_BREAKS = re.compile(r"[\t\r\n]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_WIDE = 1000
_IDS_SHARE = 0.6


def clean(text: str) -> str:
    """A text as one line, without what would steer a terminal: titles and messages come from others."""
    return _CONTROL.sub("\ufffd", _BREAKS.sub(" ", text))


def out() -> Console:
    """For answers. Where they go to a file or a program, a row stays a line."""
    wide = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _WIDE
    return Console(highlight=False, markup=False, emoji=False, width=wide)


def err() -> Console:
    """For progress, hints and errors."""
    return Console(highlight=False, markup=False, emoji=False, stderr=True)


def ids(table: Table, found: Sequence[str]) -> None:
    """Adds the column of ids. They are to be copied, and stay whole if they leave room for the rest."""
    whole = max(map(len, found), default=0) <= out().width * _IDS_SHARE
    table.add_column("item", overflow="fold", style="dim", no_wrap=whole)


def say(text: str) -> None:
    """An answer in a line, however long."""
    out().print(clean(text), soft_wrap=True)


def note(text: str) -> None:
    """A hint in a line."""
    err().print(clean(text), soft_wrap=True)


def document(value: Any) -> None:
    """One JSON document."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")
