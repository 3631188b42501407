"""Which trigrams are worth asking for: the rare ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from recmesh_catalog.search.repository import TitleRepository

ENOUGH = 600
"""How many titles the trigrams that are asked for may name in all."""
LEAST = 6
"""So many trigrams are asked for, if they name no more than `MOST`: a typo makes some that no title has."""
MOST = 3000
"""How many titles they may name at the most; a few letters begin more, and those are found as beginnings."""
FRESH_SECONDS = 30.0


class CommonGrams:
    """What PostgreSQL's statistics say of the most common trigrams, read again when it is old.

    They are gathered by autovacuum and after a large import, from a sample, and hold about a thousand trigrams over all
    catalogs. A trigram that is not among them is rarer than all of those, and so cheap. Without statistics a search
    finds the same, only slower.
    """

    def __init__(self) -> None:
        self._counts: Mapping[int, float] = {}
        self._read_at = float("-inf")

    async def rarest(self, titles: TitleRepository, codes: Sequence[int]) -> list[int]:
        """Of these trigrams the rarest, which name few enough titles together."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            self._counts = await titles.common_grams()
            self._read_at = time.monotonic()
        chosen: list[int] = []
        named = 0.0
        for code in sorted(codes, key=lambda code: self._counts.get(code, 0.0)):
            named += self._counts.get(code, 0.0)
            if named > (ENOUGH if len(chosen) >= LEAST else MOST):
                break
            chosen.append(code)
        return chosen
