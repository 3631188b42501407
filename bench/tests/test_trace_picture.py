from __future__ import annotations

from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.trace_picture import Row, draw, waterfall

MS = 1_000_000
BEGIN = 1_700_000_000_000 * MS


def span(number: int, under: int, name: str, begin: int, end: int) -> Span:
    return Span(
        span_id=bytes([number]),
        parent_span_id=bytes([under]),
        name=name,
        start_time_unix_nano=BEGIN + begin * MS,
        end_time_unix_nano=BEGIN + end * MS,
    )


SPANS = [
    ("recmesh_worker", span(4, 3, "process jobs", 5, 9)),
    ("recmesh_recommender", span(3, 1, "publish jobs", 4, 6)),
    # The caller's span is not there.
    ("recmesh_recommender", span(1, 9, "recmesh.x.v1.Service/Call", 0, 10)),
    ("recmesh_recommender", span(2, 1, "store jobs", 1, 3)),
]


def test_each_span_stands_below_the_one_it_belongs_to() -> None:
    assert waterfall(SPANS) == [
        Row("recommender", "Service/Call", 0, 0.0, 10.0),
        Row("recommender", "store jobs", 1, 1.0, 2.0),
        Row("recommender", "publish jobs", 1, 4.0, 2.0),
        Row("worker", "process jobs", 2, 5.0, 4.0),
    ]


def test_the_picture_names_all_of_them_and_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    for file in (one, two):
        draw(waterfall(SPANS), file, "A call")
    picture = one.read_text()
    assert picture == two.read_text()
    for text in ("A call", "Service/Call", "store jobs", "process jobs", "worker", "10.0"):
        assert f">{text}<" in picture
