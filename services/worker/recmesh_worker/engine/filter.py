"""Filter: which rows a query's filter selects.

Over 34,532 films a filter that was not used before adds 8 to 10 % to the time of one query (0.2 ms
of 2.1; 64 different ones 20 % to that of a batch), one whose mask is there almost nothing. A
changed item makes the masks be made again, and its row of the columns be read again (1 ms).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from recmesh_kit.filters.mask import Mask, select
from recmesh_kit.filters.tree import Condition
from recmesh_worker.engine.columns import Columns
from recmesh_worker.engine.row import Row

_KEPT = 128  # masks; one of 35,000 rows takes 35 kB


class Filters:
    """Masks of the rows of one catalog, kept while nothing changes that can be filtered by.

    Not thread-safe: it belongs to a `CatalogMemory`, whose lock covers it.

    Args:
        rows: As for `Columns`.
    """

    def __init__(self, rows: Sequence[Row | None]) -> None:
        self._columns = Columns(rows)
        self._masks: OrderedDict[Condition, Mask] = OrderedDict()

    def changed(self, row: int) -> None:
        """What is at a row has changed, or the row is new."""
        self._columns.changed(row)
        self.forget_masks()

    def forget_masks(self) -> None:
        """Let every mask be made again."""
        self._masks.clear()

    def select(self, condition: Condition) -> Mask:
        """The rows (n,) that a condition on items selects, hidden and freed ones included.

        Not to be written to.
        """
        mask = self._masks.get(condition)
        if mask is None:
            mask = select(condition, self._columns)
            mask.flags.writeable = False
            self._masks[condition] = mask
            if len(self._masks) > _KEPT:
                self._masks.popitem(last=False)
        self._masks.move_to_end(condition)
        return mask
