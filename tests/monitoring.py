"""What is shipped to watch the mesh, as tests look at it: dashboards, rules, and a Prometheus to be asked."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "deploy/k8s/components/monitoring"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
RULES = sorted((FOLDER / "rules").glob("*.yaml"))
WINDOW = "1m"
ASK_SECONDS = 30.0
_VARIABLES = {"__rate_interval": WINDOW, "__range": WINDOW}
_SELECTOR = re.compile(r"\b(up|(?:recmesh|rabbitmq|process|python)_[a-z_]+)(\{[^}]*\})?")
_MATCHER = re.compile(r'([a-z_]+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Query:
    """What a panel asks.

    Attributes:
        place: Dashboard and panel, for people.
        expression: With a value for each variable.
        legend: Of each line.
    """

    place: str
    expression: str
    legend: str

    @property
    def shown(self) -> set[str]:
        """Labels that the legend shows."""
        return set(re.findall(r"\{\{(\w+)\}\}", self.legend))


@dataclass(frozen=True)
class Series:
    """One result."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """A Prometheus that runs at `host:port`."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1"

    def ask(self, expression: str) -> list[Series]:
        """How things stand now."""
        found = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")
        if found["resultType"] == "scalar":
            return [Series({}, float(found["result"][1]))]
        return [Series(one["metric"], float(one["value"][1])) for one in found["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their health."""
        groups = self._get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/{path}", timeout=ASK_SECONDS) as answer:  # noqa: S310
            return json.load(answer)["data"]


def board(path: Path) -> dict[str, Any]:
    """A dashboard."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def panels(path: Path) -> Iterator[dict[str, Any]]:
    """Its panels, rows among them."""
    for panel in board(path)["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries(path: Path) -> Iterator[Query]:
    """What its panels ask."""
    variables = {one["name"]: ".*" for one in board(path)["templating"]["list"]} | _VARIABLES
    for panel in panels(path):
        for target in panel.get("targets", ()):
            expression = re.sub(r"\$(\w+)", lambda m: variables[m[1]], target["expr"])
            yield Query(f"{path.stem}: {panel['title']}", expression, target["legendFormat"])


def alerts() -> Iterator[dict[str, Any]]:
    """All alerts."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The names of metrics in an expression, each with its matchers: label, operator, value."""
    for name, matchers in _SELECTOR.findall(expression):
        yield name, _MATCHER.findall(matchers)


def selector(name: str, matchers: list[tuple[str, str, str]]) -> str:
    """As an expression."""
    inside = ",".join(f'{label}{operator}"{value}"' for label, operator, value in matchers)
    return f"{name}{{{inside}}}"


def says_something(found: list[Series]) -> bool:
    """Whether there is a value among them."""
    return any(not math.isnan(series.value) for series in found)
