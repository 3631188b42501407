"""MovieLens: latest-small and 25M (`.csv`), 1M and 10M (`.dat`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recmesh_cli.formats import build, titles, values
from recmesh_cli.formats.files import csv_header, read_csv, read_split
from recmesh_cli.formats.rows import Flaw, Meter, Record, Refusal, Row, Step, Unfit, UnfitSource
from recmesh_cli.formats.side import Side
from recmesh_cli.formats.tables import rows
from recmesh_client import Interaction, InteractionType, Item

_NO_GENRES = "(no genres listed)"
_TAG_LENGTH = 64
_COLUMNS = {
    "movies": ("movieId", "title", "genres"),
    "ratings": ("userId", "movieId", "rating", "timestamp"),
    "tags": ("userId", "movieId", "tag", "timestamp"),
    "links": ("movieId", "imdbId", "tmdbId"),
}


@dataclass(frozen=True, slots=True)
class Opinions:
    """What ratings, half a star to five, say.

    Attributes:
        likes_from: A rating of as much is a LIKE. None: no rating is.
        dislikes_to: A rating of as little is a DISLIKE. None: no rating is.
    """

    likes_from: float | None = 4.0
    dislikes_to: float | None = 2.0

    def kind(self, rating: float) -> InteractionType:
        """What a rating becomes. Its stars stay with it as the value."""
        if self.likes_from is not None and rating >= self.likes_from:
            return InteractionType.LIKE
        if self.dislikes_to is not None and rating <= self.dislikes_to:
            return InteractionType.DISLIKE
        return InteractionType.RATING


@dataclass(frozen=True, slots=True)
class MovieLens:
    """A folder with the files of MovieLens."""

    folder: Path

    @property
    def ending(self) -> str:
        """Of the files' names; empty when these are no files of MovieLens."""
        for ending in (".csv", ".dat"):
            if any(self._file(name, ending).is_file() for name in ("movies", "ratings")):
                return ending
        return ""

    def steps(self, opinions: Opinions) -> tuple[Step, ...]:
        """How it is imported: films first. Raises UnfitSource."""
        if not self.ending:
            raise UnfitSource(f"{self.folder} holds no movies.csv, movies.dat or ratings of them")
        made = []
        movies, ratings = self._there("movies"), self._there("ratings")
        if movies:
            beside = (*self._there("links"), *self._there("tags"))
            made.append(Step("items", (*beside, *movies), self._films))
        if ratings:
            made.append(Step("interactions", ratings, partial(self._ratings, opinions)))
        return tuple(made)

    def _file(self, name: str, ending: str) -> Path:
        return self.folder / f"{name}{ending}"

    def _there(self, name: str) -> tuple[Path, ...]:
        path = self._file(name, self.ending)
        if not path.is_file():
            return ()
        if self.ending == ".csv":
            header = csv_header(path)
            absent = [column for column in _COLUMNS[name] if column not in header]
            if absent:
                raise UnfitSource(f"{path.name} has no column {absent[0]!r}: is it MovieLens?")
        return (path,)

    def _records(self, name: str, meter: Meter) -> Iterator[Record | Flaw]:
        for path in self._there(name):
            if self.ending == ".csv":
                yield from read_csv(path, meter)
            else:
                yield from read_split(path, meter, _COLUMNS[name])

    def _rows(
        self,
        name: str,
        meter: Meter,
        make: Callable[[Record], tuple[Item | Interaction, int] | None],
    ) -> Iterator[Row | Refusal | None]:
        return rows(f"{name}{self.ending}", self._records(name, meter), make)

    def _films(self, meter: Meter) -> Iterator[Row | Refusal | None]:
        with Side() as side:
            # What cannot be read is told, and the rest is kept: a film does without it.
            flaws: list[Refusal] = []
            side.put(_links(self._beside("links", meter, flaws)))
            side.put_tags(_tags(self._beside("tags", meter, flaws)))
            yield from flaws
            yield from self._rows("movies", meter, partial(_film, side))

    def _beside(self, name: str, meter: Meter, flaws: list[Refusal]) -> Iterator[Record]:
        for record in self._records(name, meter):
            if isinstance(record, Flaw):
                flaws.append(Refusal(f"{name}{self.ending}", record.line, record.message))
            else:
                yield record

    def _ratings(self, opinions: Opinions, meter: Meter) -> Iterator[Row | Refusal | None]:
        return self._rows("ratings", meter, partial(_opinion, opinions))


def _links(records: Iterator[Record]) -> Iterator[tuple[str, dict[str, str]]]:
    for record in records:
        said = record.values
        imdb = said["imdbId"].strip()
        labels = {"imdb": f"tt{imdb}" if imdb else "", "tmdb": said["tmdbId"].strip()}
        yield said["movieId"].strip(), {key: value for key, value in labels.items() if value}


def _tags(records: Iterator[Record]) -> Iterator[tuple[str, str, str]]:
    for record in records:
        tag = values.text(record.values["tag"]).lower()
        if 0 < len(tag) <= _TAG_LENGTH:
            yield record.values["movieId"].strip(), tag, record.values["userId"]


def _film(side: Side, record: Record) -> tuple[Item, int]:
    said = record.values
    key = _needed(said, "movieId")
    title, others, year = titles.parse(_needed(said, "title"))
    genres = "" if said["genres"] == _NO_GENRES else said["genres"]
    made = Item(
        values.item_id(key),
        title,
        alternate_titles=others,
        genres=values.texts(genres),
        tags=side.tags(key),
        release_year=year,
        labels=side.get(key) or {},
    )
    return made, build.checked(made)


def _opinion(opinions: Opinions, record: Record) -> tuple[Interaction, int]:
    said = record.values
    user, item = _needed(said, "userId"), values.item_id(_needed(said, "movieId"))
    try:
        stars = values.number(said["rating"])
    except Unfit as unfit:
        raise Unfit(unfit.message, "rating") from None
    if stars is None or not 0.5 <= stars <= 5:
        raise Unfit("must be between 0.5 and 5", "rating")
    try:
        when = values.moment(said["timestamp"])
    except Unfit as unfit:
        raise Unfit(unfit.message, "timestamp") from None
    kind = opinions.kind(stars)
    name = values.interaction_id(user, item, kind, when)
    return Interaction(item, kind, user=user, value=stars, event_time=when, id=name), len(user)


def _needed(said: Mapping[str, str], column: str) -> str:
    value = values.text(said[column])
    if not value:
        raise Unfit("is missing", column)
    return value
