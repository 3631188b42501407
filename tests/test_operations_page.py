"""What `docs/operations.md` names is there: settings with their defaults, metrics, reasons, filters, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh_auth.settings import AuthSettings
from recmesh_catalog.settings import CatalogSettings
from recmesh_jobs.dead_letters import FILTERS
from recmesh_kit import layout
from recmesh_kit.filters.check import read
from recmesh_recommender.settings import RecommenderSettings
from recmesh_worker.settings import WorkerSettings

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "operations.md").read_text()
SETTINGS = {
    f"RECMESH_{name.upper()}": field.default
    for cls in (AuthSettings, CatalogSettings, RecommenderSettings, WorkerSettings)
    for name, field in cls.model_fields.items()
}
SECONDS = {"s": 1, "min": 60, "h": 3600}


def test_settings_are_those_of_the_services() -> None:
    named = set(re.findall(r"RECMESH_[A-Z_]+[A-Z]", PAGE))
    assert named
    assert named <= set(SETTINGS)


def rows() -> list[tuple[str, str]]:
    """Of the table of limits: what each setting is said to be."""
    found = []
    for line in PAGE.partition("## Limits and retries")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"RECMESH_[A-Z_]+[A-Z]", cells[-1])
        values = cells[1].split(";") if names else []
        found += list(zip(names, values, strict=True))
    return found


@pytest.mark.parametrize(("name", "said"), rows())
def test_defaults_are_those_of_the_services(name: str, said: str) -> None:
    if said == "every second":
        assert SETTINGS[name] == 1
        return
    match = re.match(r"([\d.,]+) ?(s|min|h)?\b", said.strip())
    assert match, said
    number = float(match[1].replace(",", ""))
    assert SETTINGS[name] == number * SECONDS.get(match[2], 1)


def test_metrics_are_those_of_the_other_page() -> None:
    named = set(re.findall(r"`(recmesh_[a-z_]*[a-z])`", PAGE)) - {"recmesh_kit"}
    assert named
    told = (DOCS / "telemetry.md").read_text()
    assert {name for name in named if f"`{name}`" not in told} == set()


def test_lines_of_logs_are_those_of_the_services() -> None:
    table = PAGE.partition("| log | of | means |\n")[2].partition("\n\n")[0]
    named = re.findall(r"`(.*?)`", " ".join(row.split("|")[1] for row in table.splitlines()))
    source = "".join(
        path.read_text()
        for folder in ("services", "libs")
        for path in (DOCS.parent / folder).glob("*/recmesh_*/**/*.py")
    )
    assert named
    assert [event for event in named if f'"{event}' not in source] == []


def test_reasons_are_those_of_the_contract() -> None:
    named = re.findall(r"ERROR_REASON_[A-Z_]+[A-Z]", PAGE)
    assert named
    assert set(named) <= set(ErrorReason.keys())


@pytest.mark.parametrize("text", re.findall(r"--filter '([^']+)'", PAGE))
def test_filters_are_understood(text: str) -> None:
    assert read(text, FILTERS) is not None


def test_bounds_are_those_of_the_queues() -> None:
    assert f"{layout.MOST_MESSAGES:,}" in PAGE
    assert f"{layout.INDEX_PROGRESS.max_length:,}" in PAGE
    assert ", ".join(f"{tier.seconds} s" for tier in layout.TIERS) in PAGE


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", PAGE))
def test_links_lead_somewhere(path: str) -> None:
    assert (DOCS / path).exists()
