"""The processes that our images run: what each reads and what each answers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest.mock import patch

from pydantic import ValidationError
from pydantic_settings import SettingsError

from recmesh_auth.settings import AuthSettings
from recmesh_catalog.settings import CatalogSettings
from recmesh_kit.liveness import LIVENESS
from recmesh_kit.provision import ProvisionSettings
from recmesh_kit.settings import PREFIX, SECRETS_DIR, EnvironmentSettings
from recmesh_recommender.settings import RecommenderSettings
from recmesh_worker.settings import WorkerSettings

SERVICES: Mapping[str, type[EnvironmentSettings]] = {
    "auth": AuthSettings,
    "catalog": CatalogSettings,
    "recommender": RecommenderSettings,
    "worker": WorkerSettings,
}
"""What is shipped as an image -> its settings."""
_IMAGE = re.compile(rf"(?:^|/)recmesh/({'|'.join(SERVICES)})(?:[:@$].*)?$")
_PROVISION = "recmesh_kit.provision"
_MIGRATE = "migrate"


@dataclass(frozen=True)
class Process:
    """What a container of ours runs."""

    service: str
    settings: type[EnvironmentSettings]
    serves: bool = True
    """Whether it listens, and stays."""

    @property
    def subjects(self) -> frozenset[str]:
        """What its health can be asked for, as far as probes are concerned."""
        text = ("text",) if self.service == "worker" else ()
        return frozenset(("", LIVENESS, *text)) if self.serves else frozenset()

    @property
    def variables(self) -> frozenset[str]:
        """The names that it reads."""
        return _variables(self.settings)

    def problems(self, values: Mapping[str, str]) -> list[str]:
        """What it would say of these values at its start, and exit."""
        try:
            self.read(values)
        except ValidationError as error:
            return [
                f"{'.'.join(_variable(self.settings, str(part)) for part in item['loc'][:1])}: {item['msg']}"
                for item in error.errors(include_input=False)
            ]
        except SettingsError as error:
            return [str(error)]
        return []

    def read(self, values: Mapping[str, str]) -> EnvironmentSettings:
        """Its settings with these values and no others.

        Raises ValidationError or SettingsError, as the process would.
        """
        with patch.dict(os.environ, values, clear=True):
            return self.settings()


def service_of(image: str) -> str | None:
    """Which of our services an image is of; None for another's."""
    found = _IMAGE.search(image)
    return found[1] if found else None


def process_of(container: Mapping[str, Any]) -> Process | None:
    """What a container (of Kubernetes: `command`, `args`) runs; None when it is none of our processes."""
    service = service_of(container.get("image", ""))
    if service is None:
        return None
    command, arguments = container.get("command") or [], container.get("args") or []
    if _PROVISION in (*command, *arguments):
        return Process(service, ProvisionSettings, serves=False)
    if command and f"recmesh_{service}" not in command:
        return None
    return Process(service, SERVICES[service], serves=_MIGRATE not in (*command, *arguments))


@cache
def _variables(settings: type[EnvironmentSettings]) -> frozenset[str]:
    return frozenset((SECRETS_DIR, *(_variable(settings, name) for name in settings.model_fields)))


def _variable(settings: type[EnvironmentSettings], name: str) -> str:
    field = settings.model_fields.get(name)
    if field is None:
        return name.upper() if name.startswith(PREFIX.lower()) else name
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{name.upper()}"
