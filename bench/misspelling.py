"""Titles as hurried people type them."""

from __future__ import annotations

import random
import string

SHORTEST = 4
"""Letters of the shortest title that is misspelt."""
TWO_EDITS = 9
"""Letters of the shortest title that gets two edits: in a shorter one they leave too little."""


def misspell(title: str, chance: random.Random) -> str:
    """A title with one or two edits: a letter left out, doubled by another, replaced, or swapped with the next."""
    edits = chance.randint(1, 2) if len(title) >= TWO_EDITS else 1
    letters = list(title)
    for _ in range(edits):
        letters = _edit(letters, chance)
    return "".join(letters)


def _edit(letters: list[str], chance: random.Random) -> list[str]:
    places = [place for place, letter in enumerate(letters) if letter.isalpha()]
    place = chance.choice(places)
    before, letter, behind = letters[:place], letters[place], letters[place + 1 :]
    other = chance.choice(string.ascii_lowercase)
    match chance.randrange(4):
        case 0:
            return before + behind
        case 1:
            return [*before, other, letter, *behind]
        case 2 if other != letter.lower():
            return [*before, other, *behind]
        case _ if behind:
            return [*before, behind[0], letter, *behind[1:]]
    return before
