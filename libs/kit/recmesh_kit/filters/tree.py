"""What a filter says, as a tree: first as it was written, then as it was understood.

A tree is `And`, `Or` and `Not` over leaves. The parser's leaves are `Restriction` and `Bare`: nothing is known yet of
fields and kinds. Checked against a schema they become conditions, of which there are few, so that a compiler for
another target is small: `Everything`, `Present`, `Compare` and `Match`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from recmesh_kit.filters.schema import Kind

Leaf = TypeVar("Leaf")


@dataclass(frozen=True, slots=True)
class And(Generic[Leaf]):
    """All of two or more parts."""

    parts: tuple[Tree[Leaf], ...]


@dataclass(frozen=True, slots=True)
class Or(Generic[Leaf]):
    """Any of two or more parts."""

    parts: tuple[Tree[Leaf], ...]


@dataclass(frozen=True, slots=True)
class Not(Generic[Leaf]):
    """Whatever the part does not select."""

    part: Tree[Leaf]


Tree: TypeAlias = And[Leaf] | Or[Leaf] | Not[Leaf] | Leaf


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it was written: a bare word or a quoted string.

    Attributes:
        text: Without quotes, escapes and wildcards.
        open_start: A `*` stands before it.
        open_end: A `*` stands behind it. A `*` alone is an empty text with this set.
        column: Where it begins, from 1.
    """

    text: str
    open_start: bool
    open_end: bool
    column: int

    @property
    def wild(self) -> bool:
        """Whether it has a wildcard."""
        return self.open_start or self.open_end

    @property
    def anything(self) -> bool:
        """Whether it is nothing but wildcards."""
        return self.wild and not self.text


@dataclass(frozen=True, slots=True)
class Restriction:
    """`path operator value`.

    Attributes:
        path: The field, and what was asked for within it: `("labels", "studio")`.
        operator: One of `= != < <= > >= :`.
        value: The right-hand side.
        column: Where it begins, from 1.
        operator_column: Where the operator stands, from 1.
    """

    path: tuple[str, ...]
    operator: str
    value: Literal
    column: int
    operator_column: int


@dataclass(frozen=True, slots=True)
class Bare:
    """A value that stands alone, without a field."""

    value: Literal


Syntax: TypeAlias = Tree[Restriction | Bare]


@dataclass(frozen=True, slots=True)
class Target:
    """What a condition looks at.

    Attributes:
        field: The field's name.
        kind: The field's kind.
        key: With labels, the one that is meant; None for the map itself.
    """

    field: str
    kind: Kind
    key: str | None = None


Value: TypeAlias = str | float | int | bool | datetime


@dataclass(frozen=True, slots=True)
class Everything:
    """Selects everything."""


@dataclass(frozen=True, slots=True)
class Present:
    """The target is not missing."""

    target: Target


@dataclass(frozen=True, slots=True)
class Compare:
    """The target is there and compares so with a value.

    Attributes:
        target: No list, and no map as a whole.
        operator: One of `= < <= > >=`.
        value: In the form in which the target's kind is stored; texts are folded.
    """

    target: Target
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Match:
    """The target, of a list any element, is this text, or has it at one of its ends or anywhere.

    Attributes:
        target: An id, a text, a list of texts or a label.
        text: Not empty, but for a label; folded unless the target is an id.
        open_start: Something may come before it.
        open_end: Something may come after it.
    """

    target: Target
    text: str
    open_start: bool = False
    open_end: bool = False


Condition: TypeAlias = Tree[Everything | Present | Compare | Match]
