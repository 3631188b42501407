"""Which fields of a resource can be filtered by, and what the operators mean for each kind of field.

A comparison with a value that is missing is false, whatever the operator, `!=` too; `NOT` makes it true. So a filter
has two outcomes and never a third, in SQL as elsewhere. `field:*` asks whether a value is there.

======== ================= ====================== ===================================== =============================
kind     missing           `=` (`!=`: there, but  `:`                                   `< <= > >=`
                           not so)
======== ================= ====================== ===================================== =============================
text     empty             equal, folded          contains it, folded                   code points, folded
id       empty             equal, exactly         as `=`                                code points
texts    no element        -                      an element is equal, folded           -
number   none              equal                  as `=`                                by size
integer  0                 equal                  as `=`                                by size
boolean  never             `true` or `false`      as `=`                                -
time     never             the same moment        as `=`                                earlier, later
enum     never             by name, exactly       as `=`                                -
labels   no label          -                      has this key, exactly                 -
label    no such key       equal, folded          as `=`                                code points, folded
======== ================= ====================== ===================================== =============================

A `label` is one value of the map: `labels.studio`. With `=`, `!=` and `:` the value of a text, an id, an element or a
label may begin or end with `*`, which stands for anything; then `:` of a text means what `=` means. Folded texts are
compared without regard to case (`fold`); accents count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    """What a field holds. The module says what the operators mean for each."""

    TEXT = auto()
    ID = auto()
    TEXTS = auto()
    NUMBER = auto()
    INTEGER = auto()
    BOOLEAN = auto()
    TIME = auto()
    ENUM = auto()
    LABELS = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A field that can be filtered by.

    Attributes:
        kind: What it holds.
        names: Of an enum: name in the contract -> what is stored.
        prefix: Of an id that callers see as a resource name: what comes before the id.
    """

    kind: Kind
    names: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """What of a resource can be filtered by.

    Attributes:
        fields: By name.
        anywhere: The texts in which a value is looked for that stands alone; none if it may not.
    """

    fields: Mapping[str, Field]
    anywhere: tuple[str, ...] = ()


ITEMS = Schema(
    {
        "title": Field(Kind.TEXT),
        "genres": Field(Kind.TEXTS),
        "tags": Field(Kind.TEXTS),
        "release_year": Field(Kind.INTEGER),
        "directors": Field(Kind.TEXTS),
        "cast": Field(Kind.TEXTS),
        "language": Field(Kind.TEXT),
        "average_rating": Field(Kind.NUMBER),
        "hidden": Field(Kind.BOOLEAN),
        "labels": Field(Kind.LABELS),
    },
    anywhere=("title", "genres", "tags", "directors", "cast"),
)
"""Items, wherever they are filtered."""


def fold(text: str) -> str:
    """A text without regard to case and to how its accents are encoded: Unicode's full case folding, in NFC.

    Whoever stores texts to be filtered stores this form: databases fold case each in their own way.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
