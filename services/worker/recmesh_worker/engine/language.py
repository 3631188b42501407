"""Whether a text is in a language that the encoder knows, as far as its letters tell."""

import unicodedata
from collections.abc import Collection

_SCRIPTS = {
    **dict.fromkeys(["ru", "uk", "be", "bg", "sr", "mk", "kk", "mn"], ("CYRILLIC",)),
    **dict.fromkeys(["ar", "fa", "ur"], ("ARABIC",)),
    **dict.fromkeys(["hi", "mr", "ne"], ("DEVANAGARI",)),
    "el": ("GREEK",),
    "he": ("HEBREW",),
    "hy": ("ARMENIAN",),
    "ka": ("GEORGIAN",),
    "th": ("THAI",),
    "zh": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL", "CJK"),
}
_LATIN = ("LATIN",)


def written_in(text: str, languages: Collection[str]) -> bool:
    """Whether at least half of a text's letters are of a script of these languages (ISO 639-1).

    A language that is not listed here is taken to be written in Latin letters. A text without
    letters is in no language. Two languages of one script are not told apart.
    """
    scripts = tuple({s for language in languages for s in _SCRIPTS.get(language, _LATIN)})
    letters = [c for c in text if c.isalpha()]
    known = sum(unicodedata.name(c, "").startswith(scripts) for c in letters)
    return bool(letters) and known * 2 >= len(letters)
