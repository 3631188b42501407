from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from recmesh_cli.formats.files import (
    csv_header,
    read_csv,
    read_json,
    read_json_lines,
    read_parquet,
    read_split,
)
from recmesh_cli.formats.rows import Flaw, Meter, Record, UnfitSource


def test_csv_rows_know_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'\xef\xbb\xbfid,title\r\n1,"Two\r\nlines"\r\n\r\n2\r\n3,caf\xe9\r\n4,"a ""b"""\r\n'
    )
    meter = Meter()
    assert list(read_csv(path, meter)) == [
        Record(2, {"id": "1", "title": "Two\r\nlines"}),
        Flaw(5, "has 1 columns and not 2, as the header has"),
        Flaw(6, "is not UTF-8"),
        Record(7, {"id": "4", "title": 'a "b"'}),
    ]
    assert meter.done == path.stat().st_size
    assert csv_header(path) == ("id", "title")


def test_a_quote_that_is_never_closed_costs_a_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id\n1\n"2\n' + "x" * 1023 * 1025 + "\n" + ("y" * 1023 + "\n") * 3 + "3\n")
    first, flaw, *rest = read_csv(path, Meter())
    assert first == Record(2, {"id": "1"})
    assert isinstance(flaw, Flaw)
    assert flaw.line == 3
    assert rest[-1] == Record(8, {"id": "3"})


def test_rows_with_a_separator_of_two_signs(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes("1::Caf\u00e9\n".encode() + b"2::Caf\xe9\n3\n")
    assert list(read_split(path, Meter(), ("id", "title"))) == [
        Record(1, {"id": "1", "title": "Café"}),
        Record(2, {"id": "2", "title": "Café"}),
        Flaw(3, "has 1 columns and not 2"),
    ]


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 1}\n\n[1]\n{"id"\n{"id": "\xff"}\n{"id": 2}')
    read = list(read_json_lines(path, Meter()))
    assert read[0] == Record(1, {"id": 1})
    assert [row.line for row in read if isinstance(row, Flaw)] == [3, 4, 5]
    assert read[-1] == Record(6, {"id": 2})


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers())))
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_objects(
    tmp_path_factory: pytest.TempPathFactory,
    indent: int | None,
    objects: list[dict[str, str | int]],
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    text = json.dumps(objects, indent=indent)
    path.write_text(text)
    meter = Meter()
    read = list(read_json(path, meter))
    assert [row.values for row in read if isinstance(row, Record)] == objects
    assert meter.done == len(text)
    lines = [row.line for row in read]
    assert lines == sorted(lines)
    if indent and objects:
        assert lines[0] == 2


def test_an_array_that_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n{"id": 1},\n3,\n{"id": }]')
    first, second, third = read_json(path, Meter())
    assert first == Record(2, {"id": 1})
    assert second == Flaw(3, "is not a JSON object")
    assert isinstance(third, Flaw)
    assert third.line == 4
    path.write_text('{"id": 1}')
    with pytest.raises(UnfitSource, match="array"):
        list(read_json(path, Meter()))


def test_rows_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"id": n, "genres": ["Drama"]} for n in range(3000)]
    parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=500)
    meter = Meter()
    read = list(read_parquet(path, meter))
    assert len(read) == 3000
    assert read[-1] == Record(3000, rows[-1])
    assert meter.done == path.stat().st_size
    path.write_bytes(b"no")
    with pytest.raises(UnfitSource, match="not Parquet"):
        list(read_parquet(path, Meter()))
