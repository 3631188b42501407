"""Titles as MovieLens writes them."""

from __future__ import annotations

import re

_YEAR = re.compile(r"^(.*\S)\s*\((\d{4})(?:\s*[-\u2013]\s*(?:\d{4})?)?\)?\s*$")
_OTHER = re.compile(r"^(.*\S)\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)$")
_KNOWN_AS = re.compile(r"^a\.?\s?k\.?\s?a\.?:?\s+", re.IGNORECASE)
_ARTICLES = "The|A|An|La|Le|Les|L'|Un|Une|El|Los|Las|Una|Il|Lo|I|Gli|Der|Die|Das|Ein|Eine|Det|Den|De|Het|O|Os|As"
_ARTICLE = re.compile(rf"^(.*\S), ({_ARTICLES})$")


def parse(said: str) -> tuple[str, tuple[str, ...], int | None]:
    """Title, other titles and year: of `Hate (Haine, La) (1995)` they are `Hate`, `La Haine` and 1995."""
    title, year = said.strip(), None
    if match := _YEAR.match(title):
        title, year = match[1], int(match[2])
    others: list[str] = []
    while match := _OTHER.match(title):
        others.insert(0, article_first(_KNOWN_AS.sub("", match[2].strip())))
        title = match[1]
    title = article_first(title)
    distinct = dict.fromkeys(other for other in others if other and other != title)
    return title, tuple(distinct), year


def article_first(title: str) -> str:
    """`Matrix, The` as `The Matrix`."""
    match = _ARTICLE.match(title)
    if match is None:
        return title
    between = "" if match[2].endswith("'") else " "
    return f"{match[2]}{between}{match[1]}"
