"""The rules: each looks at all documents of one combination and says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from manifests.documents import Finding, Rendered
from manifests.rules import (
    flows,
    ports,
    references,
    restricted,
    running,
    scaling,
    selectors,
    settings,
    tokens,
    volumes,
)

Rule = Callable[[Rendered], Iterable[Finding]]
ALL: tuple[Rule, ...] = (
    selectors.services,
    selectors.workloads,
    selectors.budgets,
    selectors.unbudgeted,
    selectors.unspread,
    selectors.policies,
    selectors.spreads,
    selectors.affinities,
    ports.services,
    ports.probes,
    ports.unprobed,
    ports.subjects,
    ports.policies,
    references.configuration,
    references.unused,
    references.subpaths,
    references.accounts,
    references.claims,
    references.api_services,
    references.rights,
    references.namespaces,
    flows.addresses,
    flows.services,
    flows.metrics,
    flows.names,
    flows.api,
    volumes.mounts,
    volumes.unused,
    volumes.readable,
    settings.names,
    settings.values,
    settings.secrets,
    settings.folders,
    settings.listens,
    settings.targets,
    scaling.targets,
    scaling.bounds,
    scaling.metrics,
    scaling.triggers,
    scaling.budgets,
    running.images,
    running.resources,
    running.read_only,
    running.graces,
    running.farewells,
    running.patience,
    restricted.pods,
    restricted.namespaces,
    tokens.unneeded,
)


def check(rendered: Rendered, rules: Iterable[Rule] = ALL) -> Iterator[Finding]:
    """What the rules find."""
    for rule in rules:
        yield from rule(rendered)
