"""How the tour prints what it asked and what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recmesh_client import Fallback, FoundItem, Item, Reason, ReasonType, Recommendation

SHARED = 2
"""Most facts of a reason that are printed."""
LONG = 60
"""Characters from which on a question stands on a line of its own."""


class Stage:
    """The screen.

    Args:
        console: Where to print.
        films: The films by their ids, for the years.
    """

    def __init__(self, console: Console, films: Mapping[str, Item]) -> None:
        self._console = console
        self._films = films

    def say(self, text: str = "") -> None:
        """Prints a line of markup."""
        self._console.print(text, highlight=False)

    def answer(self, how: str, asked: str, answer: Recommendation, milliseconds: float) -> None:
        """Prints a question and its films.

        Args:
            how: The way of asking.
            asked: What was asked, in words.
            answer: What came back.
            milliseconds: How long that took.
        """
        self._head(how, asked, f"{milliseconds:.0f} ms")
        for note in notes(answer):
            self._console.print(Text(f"  {note}", "yellow"))
        table = _table()
        for result in answer.results:
            why = why_of(result.reasons[0], answer.resolved_item) if result.reasons else "—"
            table.add_row("", self._film(result.item, result.title), f"{result.score:.2f}", why)
        self._console.print(table if answer.results else "  nothing is left", "")

    def beside(self, how: str, asked: str, columns: Mapping[str, Recommendation]) -> None:
        """Prints answers to one question beside each other, under their names."""
        self._head(how, asked)
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column()
        for name in columns:
            table.add_column(name)
        lists = [
            [self._film(result.item, result.title) for result in answer.results]
            for answer in columns.values()
        ]
        for row in zip(*lists, strict=False):
            table.add_row("", *row)
        self._console.print(table, "")

    def typed(self, how: str, found: Mapping[str, Sequence[FoundItem]]) -> None:
        """Prints what a search found at each stroke of a person who types."""
        self._head(how, "")
        table = _table()
        for typed, items in found.items():
            table.add_row("", Text(typed, "bold"), Text(" · ", "dim").join(map(self._hit, items)))
        self._console.print(table, "")

    def _hit(self, found: FoundItem) -> Text:
        """A film that a search found and, when it is not by its own title, the title that fits."""
        film = self._film(found.item.id, found.item.title)
        other = found.matched_title != found.item.title
        return film.append(f" “{found.matched_title}”", "dim italic") if other else film

    def _head(self, how: str, asked: str, aside: str = "") -> None:
        line = Text("▸ ", "cyan").append(how, "bold")
        aside = f"  {aside}" if aside else ""
        if len(asked) > LONG:
            self._console.print(line.append(aside, "dim"))
            self._console.print(Padding(asked, (0, 0, 0, 2)), highlight=False, markup=False)
        else:
            self._console.print(line.append(f"  {asked}" if asked else "").append(aside, "dim"))

    def _film(self, item: str, title: str) -> Text:
        known = self._films.get(item)
        year = f" {known.release_year}" if known and known.release_year else ""
        return Text(title, "cyan").append(year, "dim")


def _table() -> Table:
    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))


def notes(answer: Recommendation) -> list[str]:
    """What the answer says about itself beside its films."""
    said = []
    if answer.query.title is not None and answer.resolved_title:
        said.append(f"taken as {answer.resolved_title}, {answer.resolve_confidence:.0%} sure")
    match answer.fallback:
        case Fallback.TEXT:
            said.append("no such title: these match its words")
        case Fallback.POPULAR if answer.query.history:
            said.append("nothing that this person likes is known yet: popular films, of many kinds")
        case Fallback.POPULAR:
            said.append("nothing is known about that: popular films")
    if answer.filter_relaxed:
        said.append("the filter left too few and was relaxed")
    return said


def why_of(reason: Reason, seed: str) -> str:
    """A reason in words.

    Args:
        reason: The reason.
        seed: Id of the film that was asked for, which need not be named again.
    """
    match reason.type:
        case ReasonType.SIMILAR_TO:
            names = [*(f"by {name}" for name in reason.directors), *reason.cast]
            shared = ", ".join([*names, *map(str.lower, reason.genres)][:SHARED])
            if shared and reason.item == seed:
                return shared
            return f"like {reason.title}" + (f" ({shared})" if shared else "")
        case ReasonType.LIKED_TOGETHER:
            return f"liked by people who like {reason.title}"
        case ReasonType.MATCHES_TEXT:
            return "matches the words"
        case kind:
            return kind.value.replace("_", " ")
