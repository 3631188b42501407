"""Results are kept, and become tables and plots."""

from pathlib import Path

import pytest

from bench import markdown, plots
from bench.harness import promises, report
from bench.harness.promises import Promise
from bench.harness.results import Record, header, keep, latest
from bench.harness.rounds import Results, Turn
from bench.harness.statistics import Spread
from bench.harness.system import Load


def turn(jobs_per_s: float) -> Turn:
    load = Load(
        calls=100, errors=1, seconds=1, jobs_per_s=jobs_per_s, p50_ms=2, p99_ms=8, cpu_ms=0.25
    )
    return Turn(load, {"server": 1.0, "worker": 0.5}, others_cpu=0.02, strangers_cpu=0.1)


@pytest.fixture
def record() -> Record:
    found = Results(
        {
            ("floor", "64"): [turn(100), turn(90), turn(110)],
            ("recmesh", "64"): [turn(80), turn(70), turn(75)],
            ("recmesh", "half"): [turn(40)],
        }
    )
    promised = Promise("throughput_to_floor", Spread(0.8, 0.7, 0.9), 0.75, at_least=True)
    return header("e2e") | promises.figures([promised]) | {"levels": report.all_figures(found)}


def test_figures_are_medians_and_spreads(record: Record) -> None:
    assert record["levels"]["floor"]["64"] == {
        "jobs_per_s": [100, 90, 110],
        "p50_ms": [2, 2, 2],
        "p99_ms": [8, 8, 8],
        "errors": 3,
        "cpu_ms": {"load": 0.25, "server": 1, "worker": 0.5},
        "others_cpu": 0.02,
        "strangers_cpu": 0.1,
    }


def test_the_latest_record_of_a_benchmark_counts(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench" / "results.jsonl"
    assert latest(file) == {}

    keep({**record, "date": "then"}, file)
    keep(record, file)

    assert latest(file) == {"e2e": record}
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_page_has_a_line_for_each_system_and_level(record: Record) -> None:
    page = markdown.page(record)

    assert "| throughput_to_floor | 0.75 | 0.80 | 0.70 | 0.90 | yes |" in page
    assert (
        "| floor | 64 | 100 (90 to 110) | 2.0 | 8.0 | 3 | 1.75 | load 0.25, server 1.00, worker 0.50 |"
        in page
    )
    assert "| recmesh | half | 40 (40 to 40) |" in page


def test_the_same_results_make_the_same_plots(record: Record, tmp_path: Path) -> None:
    first = plots.draw({"e2e": record, "other": {"benchmark": "other"}}, tmp_path / "one")
    second = plots.draw({"e2e": record}, tmp_path / "two")

    assert [file.name for file in first] == [
        "e2e-throughput.svg",
        "e2e-latency.svg",
        "e2e-cpu.svg",
    ]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
