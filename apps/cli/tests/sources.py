"""Made-up data sets, small, in each layout."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from recmesh_cli.formats.rows import Meter, Refusal, Row, Step


def movielens(folder: Path) -> Path:
    """Five lines of films with two wrong ones, six of ratings with three wrong ones."""
    folder.mkdir()
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n"
        '1,"Lamp, The (Lampe, La) (1971)",Drama|Mystery\n'
        "2,Nightfall (1988),(no genres listed)\n"
        ",Nameless (1990),Drama\n"
        "4,,Drama\n"
        "5,Untimed,Comedy\n"
    )
    (folder / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0012345,77\n2,,\n")
    (folder / "tags.csv").write_text(
        "userId,movieId,tag,timestamp\n"
        "7,1,Harbour,1000000000\n8,1,harbour ,1000000001\n7,1,fog,1000000002\n"
    )
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n"
        "7,1,4.5,1000000000\n7,2,3.0,1000000060\n8,1,1.5,1000000120\n"
        "8,2,9,1000000180\n,2,3,1000000240\n8,2,3\n"
    )
    return folder


def movielens_1m(folder: Path) -> Path:
    folder.mkdir()
    (folder / "movies.dat").write_bytes(
        "1::Lamp, The (1971)::Drama|Children's\n2::Caf\u00e9 (1988)::Comedy\n".encode("latin-1")
    )
    (folder / "ratings.dat").write_text("7::1::5::978300760\n8::2::x::978302109\n")
    (folder / "users.dat").write_text("7::F::1::10::48067\n")
    return folder


def tmdb(folder: Path) -> Path:
    """Three films, one of them wrong; credits of one."""
    folder.mkdir()
    plain = ("id", "title", "original_title", "overview", "genres", "keywords", "release_date")
    rest = ("original_language", "vote_average", "production_countries", "status", "vote_count")
    columns = (*plain, *rest)
    named = json.dumps([{"id": 18, "name": "Drama"}])
    france = json.dumps([{"iso_3166_1": "FR", "name": "France"}])
    lamp = ("11", "The Lamp", "La Lampe", "A lamp.", named, "[]", "1971-02-03", "fr", "7.5", france)
    with (folder / "tmdb_5000_movies.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerow((*lamp, "Released", "3"))
        writer.writerow(("12", "Broken", "", "", "[{", "[]", "", "en", "0", "[]", "", "0"))
        writer.writerow(("13", "Unseen", "", "", "[]", "[]", "", "en", "0", "[]", "", "0"))
    with (folder / "tmdb_5000_credits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("movie_id", "title", "cast", "crew"))
        cast = [{"name": "Bo", "order": 1}, {"name": "Ada", "order": 0}]
        crew = [{"name": "Cy", "job": "Director"}, {"name": "Di", "job": "Editor"}]
        writer.writerow(("11", "The Lamp", json.dumps(cast), json.dumps(crew)))
    return folder


def run(step: Step) -> tuple[list[Row], list[Refusal], int]:
    """Good rows, refused ones, and how many were left out."""
    meter = Meter()
    rows = list(step.rows(meter))
    assert meter.done == step.size
    good = [row for row in rows if isinstance(row, Row)]
    return good, [row for row in rows if isinstance(row, Refusal)], rows.count(None)
