"""Titles as people type them: one normal form, its trigrams, and one rule for how alike two are.

Title resolution in the worker and title search in the catalog both use this module, so that a
misspelling finds the same film in both. Nothing here knows where titles are stored.

The ranking rule
----------------
`similarity` compares two normal forms. It is 1.0 only when they are equal, and at most 0.99
otherwise. It takes the best of three views, each in [0, 1]:

* letters: edit similarity of the two without spaces, where a swap of neighbours is one edit
  ("spiderman" and "spider man" agree here), articles counted or not; weight 1. Below five
  letters it is cut by 0.05, so that one wrong letter of four is below the threshold.
* words in any order: the same on sorted words; weight 0.97.
* missing words: each query word is paired with its most alike title word; what the query says
  and the title lacks costs more than what the title has and the query leaves out.

Then numbers are compared, because a sequel is another film: a number on both sides that differs
costs half, one that only the query has costs 0.3, one that only the title has costs 0.15.
A first word one edit from "the" may be a misspelt article, and is also tried as that.

Rule of thumb for the result: 0.9 and above a typo or two; 0.75 to 0.9 a missing or swapped word
or a short title with a typo; below `RESOLVE_THRESHOLD` nothing should be resolved.
"""

import re
import unicodedata
from collections import Counter

from rapidfuzz.distance import OSA

RESOLVE_THRESHOLD = 0.72
"""Below this similarity a title does not stand for the query."""

_SAME_WORD = 0.7
_TYPED = 2
_PART_LETTERS = 6
_SHORT = 4
_SHORT_FACTOR = 0.95
_ARTICLES = frozenset({
    "the", "a", "an", "le", "la", "les", "un", "une", "el", "los", "las", "una", "il", "lo", "gli",
    "uno", "der", "das", "ein", "eine", "het", "det", "den", "um", "uma", "os",
})  # fmt: skip
# "Die" and "I" begin too many English titles to be dropped in front; behind a comma they are moved.
_BEHIND_COMMA = "|".join(
    [*sorted(_ARTICLES), "l'", "die", "i", "o", "as", "de", "en", "ett", "des"]
)
_TRAILING_ARTICLE = re.compile(rf"^(.+), ({_BEHIND_COMMA})(?= *(?:\(|$))", re.IGNORECASE)
_TRAILING_YEAR = re.compile(r"^(.*\S)\s*[(\[]\s*((?:18|19|20)\d\d)\s*[)\]]\s*$")
_APOSTROPHES = re.compile("['`\u00b4\u2018\u2019\u02bc\u2032]")
_ELISION = re.compile("^[ld]['\u2019](?=\\w)", re.IGNORECASE)
_MARKS = re.compile("[\u0300-\u036f]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ASCII_PUNCTUATION = re.compile(r"[^0-9a-z]+")
# Where a title has parts: colon, parentheses, a dash between spaces.
_PARTS = re.compile("[:()]| [-\u2013\u2014] |, or ")
# Letters that have no decomposition; the one escaped is the Turkish dotless i.
_LATIN_LETTERS = {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th"}
_UNDECOMPOSED = str.maketrans(_LATIN_LETTERS | {"\u0131": "i"})
_ROMAN = {
    "ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9", "xi": "11",
    "xii": "12", "xiii": "13",
}  # fmt: skip
_COUNTED = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen",
]  # fmt: skip
_NUMERALS = {word: str(n) for n, word in enumerate(_COUNTED)} | {"i": "1", "v": "5", "x": "10"}


def split_year(title: str) -> tuple[str, int | None]:
    """Split a year in parentheses off the end of a title: "Alien (1979)" -> ("Alien", 1979)."""
    match = _TRAILING_YEAR.match(title)
    if match is None:
        return title, None
    return match.group(1), int(match.group(2))


def normalise(title: str) -> str:
    """The normal form of a title: lower case words of letters and digits, one space between.

    Diacritics, punctuation, a year in parentheses at the end and leading articles of the common
    European languages go; "Matrix, The" is "The Matrix"; "&" is "and"; "E.T." is "et"; "Rocky II"
    is "rocky 2"; Cyrillic yo and short i are ye and i. A title made of nothing but such things
    keeps them: the result is empty only for a blank title.
    """
    plain = _THOUSANDS.sub("", split_year(title.strip())[0])
    plain = _TRAILING_ARTICLE.sub(r"\2 \1", plain)
    words = _words(_ELISION.sub("", plain))
    words = _without_article(_join_single_letters(words), words)
    words = _arabic_numerals(words)
    return " ".join(words) or " ".join(title.casefold().split())


def trigrams(text: str) -> tuple[str, ...]:
    """The distinct trigrams of a normal form, sorted: each word padded with "  " and " ".

    Word order does not change them. They are what the catalog stores as `text[]`.
    """
    grams: set[str] = set()
    for word in text.split():
        padded = f"  {word} "
        grams.update(padded[i : i + 3] for i in range(len(padded) - 2))
    return tuple(sorted(grams))


def title_parts(title: str) -> tuple[str, ...]:
    """Normal forms of a title's parts that people use alone, at most four.

    "Star Wars: Episode V - The Empire Strikes Back" has "star wars" and "empire strikes back";
    a part of fewer than six letters is left out, and so is a title that has no parts.
    """
    pieces = [piece for piece in _PARTS.split(split_year(title)[0]) if piece.strip()]
    if len(pieces) < 2:
        return ()
    parts = dict.fromkeys(normalise(piece) for piece in pieces)
    return tuple(part for part in parts if len(part) >= _PART_LETTERS)[:4]


def similarity(query: str, title: str) -> float:
    """How alike two normal forms are, in [0, 1]; 1.0 only when they are equal. See the module."""
    if query == title:
        return 1.0
    if not query or not title:
        return 0.0
    words = query.split()
    query_words = _comparable(words, title.split())
    title_words = _comparable(title.split(), query_words)
    letters = max(
        _letters(query.replace(" ", ""), title.replace(" ", "")),
        _letters("".join(query_words), "".join(title_words)),
    )
    sorted_letters = _letters(" ".join(sorted(query_words)), " ".join(sorted(title_words)))
    best = max(letters, 0.97 * sorted_letters, _word_overlap(query_words, title_words))
    best *= _number_factor(query_words, title_words)
    if len(words) > 1 and OSA.distance(words[0], "the") == 1:
        best = max(best, 0.97 * similarity(" ".join(words[1:]), title))
    return min(0.99, best)


def _letters(query: str, title: str) -> float:
    """Edit similarity; with four letters or fewer one wrong letter is already another title."""
    alike = OSA.normalized_similarity(query, title)
    return alike if min(len(query), len(title)) > _SHORT else _SHORT_FACTOR * alike


def _words(text: str) -> list[str]:
    """Words of letters, marks and digits, without diacritics, in lower case."""
    if text.isascii():
        text = _APOSTROPHES.sub("", text.lower().replace("&", " and "))
        return _ASCII_PUNCTUATION.sub(" ", text).split()
    text = _APOSTROPHES.sub("", text.replace("&", " and "))
    # A superscript or a fraction is a word of its own: "Alien³" is "alien 3", "8½" is "8 1 2".
    text = "".join(f" {c}" if unicodedata.category(c) == "No" else c for c in text)
    text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFC", _MARKS.sub("", text)).translate(_UNDECOMPOSED)
    return "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text).split()


def _join_single_letters(words: list[str]) -> list[str]:
    """Join runs of two or more single letters: "e t the" -> "et the", "m a s h" -> "mash"."""
    joined: list[str] = []
    run: list[str] = []
    for word in [*words, ""]:
        if len(word) == 1 and word.isalpha():
            run.append(word)
            continue
        joined += ["".join(run)] if len(run) > 1 else run
        run = []
        if word:
            joined.append(word)
    return joined


def _without_article(words: list[str], unjoined: list[str]) -> list[str]:
    """Drop one leading article, unless it is all there is or was joined from letters ("L.A.")."""
    is_article = len(words) > 1 and words[0] in _ARTICLES and words[0] == unjoined[0]
    return words[1:] if is_article else words


def _arabic_numerals(words: list[str]) -> list[str]:
    """Roman numerals behind the first word as digits. "I", "V" and "X" are left: also words."""
    return words[:1] + [_ROMAN.get(word, word) for word in words[1:]]


def _comparable(words: list[str], others: list[str]) -> list[str]:
    """`words` without articles, and with digits for "twelve" or "v" where `others` have them."""
    kept = [word for word in words if word not in _ARTICLES] or words
    return [_NUMERALS[w] if _NUMERALS.get(w) in others else w for w in kept]


def _word_overlap(query_words: list[str], title_words: list[str]) -> float:
    """How well the words cover each other, by letters, in any order.

    What the query says and the title lacks counts squared; what the title has and the query
    leaves out costs at most 0.4. A last word that is still being typed costs 0.08.
    """
    finished = _finished(query_words, title_words)
    in_title = _covered(finished, title_words)
    in_query = _covered(title_words, finished)
    typing = 1.0 if finished == query_words else 0.92
    return 0.97 * typing * in_title * in_title * (0.6 + 0.4 * in_query)


def _finished(query_words: list[str], title_words: list[str]) -> list[str]:
    """The query with its last word finished as in the title; not a word that stands alone."""
    *before, last = query_words
    if not before or len(last) < _TYPED or last in title_words:
        return query_words
    begun = (word for word in title_words if word.startswith(last))
    return [*before, next(begun, last)]


def _covered(words: list[str], others: list[str]) -> float:
    """The share of the letters of `words` that have a partner among `others`."""
    alike = (1.0 if word in others else _best_partner(word, others) for word in words)
    found = sum(len(word) * a for word, a in zip(words, alike, strict=True))
    return found / sum(len(word) for word in words)


def _best_partner(word: str, others: list[str]) -> float:
    """The edit similarity of the most alike word; words less alike than 0.7 are strangers."""
    best = max(OSA.normalized_similarity(word, other) for other in others)
    return best if best >= _SAME_WORD else 0.0


def _number_factor(query_words: list[str], title_words: list[str]) -> float:
    """What a difference in numbers leaves of the score."""
    query_numbers = Counter(word for word in query_words if word.isdigit())
    title_numbers = Counter(word for word in title_words if word.isdigit())
    only_query = query_numbers - title_numbers
    only_title = title_numbers - query_numbers
    if only_query and only_title:
        return 0.5
    if only_query:
        return 0.7
    return 0.85 if only_title else 1.0
