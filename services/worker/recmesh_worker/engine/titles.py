"""The titles of one catalog, found as people type them.

Exact normal forms first; then titles that begin with the query, and titles that share its rarest
trigrams, judged by the one ranking rule of `recmesh_kit.text`.

Not thread-safe: it belongs to a `CatalogMemory`, whose lock covers it.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from heapq import nlargest

from recmesh_kit.text import (
    RESOLVE_THRESHOLD,
    normalise,
    similarity,
    split_year,
    title_parts,
    trigrams,
)

_POSTINGS_READ = 6_000  # a query reads its rarest trigrams until they name so many titles
_GRAMS_READ = 6  # and reads at least so many trigrams
_JUDGED = 60  # candidates that are compared letter by letter
_PREFIXES = 20  # candidates that begin with the query
_PART_WEIGHT = 0.95  # a part of a title stands for the item a little less than a whole title
_WRONG_YEAR = 0.9
_LONGEST_QUERY = 300  # letters of a query that are looked at
_BARE_YEAR = re.compile(r"^(.+) ((?:18|19|20)\d\d)$")


@dataclass(frozen=True, slots=True)
class Resolution:
    """The item that a title stands for: its id, its main title, and how sure that is in (0, 1]."""

    item: str
    title: str
    confidence: float


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose titles: what breaks ties, and where in the index they are."""

    item: str
    title: str
    form: str
    year: int | None
    popularity: float
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One normal form of one item."""

    item: str
    form: str
    weight: float


class TitleIndex:
    """An inverted index from trigrams and normal forms to items; changed item by item."""

    def __init__(self) -> None:
        self._entries: list[_Entry | None] = []
        self._owners: dict[str, _Owner] = {}
        self._exact: defaultdict[str, list[int]] = defaultdict(list)
        self._postings: defaultdict[str, list[int]] = defaultdict(list)
        self._gram_counts: list[int] = []
        self._sorted: list[str] = []
        self._unsorted: list[str] = []
        self._dead = 0

    def __len__(self) -> int:
        """The number of items that have titles here."""
        return len(self._owners)

    def put(
        self,
        item: str,
        title: str,
        others: Iterable[str] = (),
        *,
        year: int | None = None,
        popularity: float = 0.0,
    ) -> None:
        """Add an item's titles, or replace all it had. `title` is the one that is shown."""
        forms = _forms([title, *others])
        main = next(iter(forms), "") if title.strip() else ""
        known = self._owners.get(item)
        if known is not None and forms == self._forms_of(known):
            self._owners[item] = _Owner(item, title, main, year, popularity, known.slots)
            return
        self.remove(item)
        slots = tuple(self._add(_Entry(item, form, weight)) for form, weight in forms.items())
        self._owners[item] = _Owner(item, title, main, year, popularity, slots)

    def remove(self, item: str) -> None:
        """Forget an item's titles; nothing happens when it has none."""
        owner = self._owners.pop(item, None)
        if owner is None:
            return
        for slot, entry in zip(owner.slots, self._alive(owner.slots), strict=True):
            self._exact[entry.form].remove(slot)
            self._entries[slot] = None
        self._dead += len(owner.slots)
        if self._dead > 1_000 and self._dead * 2 > len(self._entries):
            self._rebuild()

    def has(self, query: str) -> bool:
        """Whether there is an item with just this title, a year at the end apart: it surely resolves."""
        form = normalise(split_year(query.strip())[0])[:_LONGEST_QUERY]
        return any(entry.weight == 1.0 for entry in self._exact_entries(form))

    def same_film(self, title: str, year: int | None) -> list[str]:
        """Items whose main title has this normal form and whose year is this one."""
        return self._same_film(normalise(title), year)

    def doubles(self, item: str) -> list[str]:
        """Items of the same main title and year as this one, itself among them; only itself when it has no titles."""
        owner = self._owners.get(item)
        return [item] if owner is None else self._same_film(owner.form, owner.year)

    def resolve(self, query: str) -> Resolution | None:
        """The item that a typed title stands for, or None when nothing is alike enough.

        A year at the end, with or without parentheses, decides between items of one title; then
        popularity does, then the newer film.
        """
        title, year = split_year(query.strip())
        form = normalise(title)[:_LONGEST_QUERY]
        if not form:
            return None
        scored = self._judge(form, year)
        bare = _BARE_YEAR.match(form)
        if year is None and bare is not None and not any(s >= 1.0 for s, _ in scored):
            scored += self._judge(bare.group(1), int(bare.group(2)))
        scored = [(score, owner) for score, owner in scored if score >= RESOLVE_THRESHOLD]
        if not scored:
            return None
        score, owner = max(scored, key=lambda s: (s[0], s[1].popularity, s[1].year or 0))
        return Resolution(owner.item, owner.title, score)

    def _same_film(self, form: str, year: int | None) -> list[str]:
        owners = (self._owners[entry.item] for entry in self._exact_entries(form))
        return [owner.item for owner in owners if owner.year == year and owner.form == form]

    def _judge(self, form: str, year: int | None) -> list[tuple[float, _Owner]]:
        """Candidates for a normal form with their scores, those of other years marked down."""
        entries = self._exact_entries(form)
        if not any(entry.weight == 1.0 for entry in entries):
            entries += self._prefixed(form) + self._sharing_trigrams(form)
        judged = []
        for entry in entries:
            owner = self._owners[entry.item]
            score = entry.weight * similarity(form, entry.form)
            judged.append((score * _year_factor(year, owner.year), owner))
        return judged

    def _exact_entries(self, form: str) -> list[_Entry]:
        return self._alive(self._exact.get(form, ()))

    def _prefixed(self, form: str) -> list[_Entry]:
        """Entries that begin with the query, in alphabetical order, at most `_PREFIXES` forms."""
        if self._unsorted:
            self._sorted += self._unsorted
            self._sorted.sort()  # quick: almost all of it is in order
            self._unsorted = []
        start = bisect_left(self._sorted, form)
        found: list[_Entry] = []
        for candidate in self._sorted[start : start + _PREFIXES]:
            if not candidate.startswith(form):
                break
            found += self._exact_entries(candidate)
        return found

    def _sharing_trigrams(self, form: str) -> list[_Entry]:
        """The entries most alike by shared trigrams, of those the query's rarest ones name."""
        grams = trigrams(form)
        known = (self._postings.get(gram) for gram in grams)
        counts: Counter[int] = Counter()
        read = 0
        for place, slots in enumerate(sorted((p for p in known if p), key=len)):
            if read > _POSTINGS_READ and place >= _GRAMS_READ:
                break
            counts.update(slots)
            read += len(slots)
        if not counts:
            return []
        enough = max(counts.values()) / 2
        shared = [
            (count / (len(grams) + self._gram_counts[slot]), slot)
            for slot, count in counts.items()
            if count >= enough
        ]
        return self._alive(slot for _, slot in nlargest(_JUDGED, shared))

    def _alive(self, slots: Iterable[int]) -> list[_Entry]:
        return [entry for slot in slots if (entry := self._entries[slot]) is not None]

    def _forms_of(self, owner: _Owner) -> dict[str, float]:
        return {entry.form: entry.weight for entry in self._alive(owner.slots)}

    def _add(self, entry: _Entry) -> int:
        slot = len(self._entries)
        self._entries.append(entry)
        if entry.form not in self._exact:
            self._unsorted.append(entry.form)
        self._exact[entry.form].append(slot)
        grams = trigrams(entry.form)
        self._gram_counts.append(len(grams))
        for gram in grams:
            self._postings[gram].append(slot)
        return slot

    def _rebuild(self) -> None:
        """Leave the dead behind: the same index from the entries that are alive."""
        alive = {owner.item: self._alive(owner.slots) for owner in self._owners.values()}
        for part in (self._entries, self._gram_counts, self._sorted, self._unsorted):
            part.clear()
        self._exact.clear()
        self._postings.clear()
        self._dead = 0
        for item, entries in alive.items():
            slots = tuple(self._add(entry) for entry in entries)
            self._owners[item] = replace(self._owners[item], slots=slots)


def _forms(titles: list[str]) -> dict[str, float]:
    """The normal forms of an item's titles with their weights: whole titles 1, parts less."""
    forms = {form: 1.0 for title in titles if (form := normalise(title))}
    for title in titles:
        for part in title_parts(title):
            forms.setdefault(part, _PART_WEIGHT)
    return forms


def _year_factor(asked: int | None, known: int | None) -> float:
    """1 when no year was asked for or it is this one; release years differ by one country to
    country."""
    if asked is None or known is None or asked == known:
        return 1.0
    return 0.98 if abs(asked - known) == 1 else _WRONG_YEAR
