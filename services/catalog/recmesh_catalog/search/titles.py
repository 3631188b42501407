"""What an item is found by: the normal forms of its titles, and the trigrams of those as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from recmesh_catalog.items.item import Item
from recmesh_kit.text import normalise, title_parts, trigrams

LONGEST_FORM = 300
"""Letters of a normal form that count: an index takes no long keys."""


@dataclass(frozen=True, slots=True)
class Title:
    """One way to ask for an item.

    Attributes:
        item: The item's id.
        form: A normal form, unique among the item's.
        title: The title that it comes from.
        part: Whether it is a part of that title only, such as "empire strikes back".
    """

    item: str
    form: str
    title: str
    part: bool


def titles_of(item: Item) -> Iterator[Title]:
    """Everything that an item is found by, its main title first."""
    known: set[str] = set()
    whole = dict.fromkeys((item.title, item.original_title, *item.alternate_titles))
    found = [(title, normalise(title), False) for title in whole]
    found += [(title, part, True) for title in whole for part in title_parts(title)]
    for title, form, part in found:
        short = shortened(form)
        if short and short not in known:
            known.add(short)
            yield Title(item.id, short, title, part)


def shortened(form: str) -> str:
    """As much of a normal form as counts."""
    return form[:LONGEST_FORM].rstrip()


def codes(catalog: str, form: str) -> list[int]:
    """The trigrams of a normal form as numbers of 32 bits, which take less room in an index than texts do.

    They begin with the catalog, so that a search meets no other catalog's titles in the index. Two trigrams may share
    a number: that is one candidate more, and the ranking sorts it out.
    """
    start = crc32(catalog.encode())
    return [crc32(gram.encode(), start) - 2**31 for gram in trigrams(form)]
