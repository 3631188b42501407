"""Texts of about the same length together: what is computed together is padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence

MOST_TEXTS = 32
MOST_CHARACTERS = 2_000
"""Of a bucket, with padding. About 500 tokens: more at once is no faster, as the caches of a core are full, and an
interactive text waits for one bucket at the most."""
_LONGEST = 1_200  # characters; what is longer is cut by most models


def buckets(texts: Sequence[str]) -> list[list[int]]:
    """The places of the texts, each in one bucket."""
    found: list[list[int]] = []
    for place in sorted(range(len(texts)), key=lambda place: len(texts[place])):
        longest = min(len(texts[place]), _LONGEST)
        last = found[-1] if found else []
        if last and len(last) < MOST_TEXTS and (len(last) + 1) * longest <= MOST_CHARACTERS:
            last.append(place)
        else:
            found.append([place])
    return found
