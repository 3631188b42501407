"""Enum values of the contract as members of ours."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Generic, TypeVar

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V", bound=int)


class EnumTable(Generic[E, V]):
    """Both ways between an enum of the contract and one of ours, by the names of the values.

    Args:
        kind: Ours; it has a member `UNKNOWN`.
        values: Names and numbers of the contract's.
        prefix: What the contract's names begin with.
        unspecified: What the number 0 means.
    """

    def __init__(
        self, kind: type[E], values: Iterable[tuple[str, V]], prefix: str, unspecified: E
    ) -> None:
        self._unknown = kind("unknown")
        self._members: dict[int, E] = {}
        self._numbers: dict[E, V] = {}
        for name, number in values:
            member = kind(name.removeprefix(prefix).lower()) if number else unspecified
            self._members[number] = member
            if member is not self._unknown:
                self._numbers[member] = number

    def member(self, number: int) -> E:
        """Our member for a number; `UNKNOWN` for one that is newer than this version."""
        return self._members.get(number, self._unknown)

    def number(self, member: E) -> V:
        """The number for one of our members. Raises ValueError for `UNKNOWN`, which cannot be sent."""
        try:
            return self._numbers[member]
        except KeyError:
            raise ValueError(f"{member!r} cannot be sent") from None
