"""A place beside memory for what other files say about items: a database on disk that is gone when it is closed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

TAGS = 32
"""Tags of an item: those that most people gave."""


class Side:
    """What is known of items beyond their own rows. Its memory is bounded; the rest lies in a temporary file."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE fact (item TEXT PRIMARY KEY, said TEXT) WITHOUT ROWID")
        self._database.execute("CREATE TABLE tag (item TEXT, tag TEXT, user TEXT)")

    def put(self, facts: Iterable[tuple[str, Any]]) -> None:
        """Keeps what is said of items; what is said last of one counts."""
        rows = ((item, json.dumps(said)) for item, said in facts)
        self._database.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", rows)

    def get(self, item: str) -> Any:
        """What was kept of an item; None when nothing was."""
        found = self._database.execute("SELECT said FROM fact WHERE item = ?", (item,)).fetchone()
        return None if found is None else json.loads(found[0])

    def put_tags(self, tags: Iterable[tuple[str, str, str]]) -> None:
        """Keeps the tags that people gave to items: item, tag, user."""
        self._database.executemany("INSERT INTO tag VALUES (?, ?, ?)", tags)
        self._database.execute("CREATE INDEX tag_by_item ON tag (item)")

    def tags(self, item: str) -> tuple[str, ...]:
        """An item's tags, those of most people first."""
        found = self._database.execute(
            "SELECT tag FROM tag WHERE item = ? GROUP BY tag"
            " ORDER BY count(DISTINCT user) DESC, tag LIMIT ?",
            (item, TAGS),
        )
        return tuple(tag for (tag,) in found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
