"""What each program of the mesh is told: the same variables as in containers, and no more."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from localmesh.ports import Ports, address
from localmesh.vault import Vault
from recmesh_kit.settings import ServiceSettings

ADMIN_EMAIL = "admin@recmesh.local"
KEY_HOLDERS = ("recommender", "worker")
"""The services that sign in with a key of their own."""
METRICS = "RECMESH_METRICS_LISTEN"
"""Where a program serves its metrics. A person's `off` goes for all of them."""
METRICS_OFF = "off"
_INHERITED = ("PATH", "HOME", "LANG")
_WORKER = {
    # Several workers share the cores; threads that spin while idle would starve the rest.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Environment:
    """Makes the environment of one program at a time, from what all of them share."""

    person: Mapping[str, str] = field(repr=False)
    """The variables of whoever started the mesh."""
    vault: Vault
    ports: Ports
    database_urls: Mapping[str, str] = field(repr=False)
    """Role -> URL."""
    amqp_urls: Mapping[str, str] = field(repr=False)
    """Role -> URL, or several, separated by commas."""
    detours: Mapping[int, int] = field(default_factory=dict)
    """See `Plan.detours`."""

    def auth(self) -> dict[str, str]:
        """For the auth service."""
        return {
            **self._common("auth", self.ports.auth, self.ports.auth_metrics),
            **key_hashes(self.vault),
            "RECMESH_SIGNING_KEYS_DIR": str(self.vault.signing_keys()),
            **admin_account(self.vault),
        }

    def catalog(self) -> dict[str, str]:
        """For the catalog service."""
        return self._common("catalog", self.ports.catalog, self.ports.catalog_metrics)

    def recommender(self, index: int) -> dict[str, str]:
        """For recommender number `index`, counted from 0."""
        port, metrics_port = (
            self.ports.recommender_at(index),
            self.ports.recommender_metrics_at(index),
        )
        return {
            **self._common("recommender", port, metrics_port),
            "RECMESH_SERVICE_KEY": self.vault.api_key("recommender"),
        }

    def worker(self, index: int) -> dict[str, str]:
        """For worker number `index`, counted from 0."""
        return {
            **self._common("worker", self.ports.worker(index), self.ports.worker_metrics(index)),
            "RECMESH_SERVICE_KEY": self.vault.api_key("worker"),
            **_WORKER,
        }

    def _common(self, service: str, port: int, metrics_port: int) -> dict[str, str]:
        role = f"recmesh_{service}"
        env = {
            **inherited(self.person),
            "DATABASE_URL": self.database_urls[role],
            "RECMESH_LISTEN": address(port),
            METRICS: METRICS_OFF
            if self.person.get(METRICS) == METRICS_OFF
            else address(metrics_port),
            "RECMESH_AUTH_TARGET": self._target(self.ports.auth),
            "RECMESH_CATALOG_TARGET": self._target(self.ports.catalog),
            # A new process takes over from the old one at the same address.
            "RECMESH_SHARE_PORT": "true",
            # The log is read while the program runs.
            "PYTHONUNBUFFERED": "1",
        }
        if role in self.amqp_urls:
            env["AMQP_URL"] = self.amqp_urls[role]
        return env

    def _target(self, port: int) -> str:
        return address(self.detours.get(port, port))


def inherited(person: Mapping[str, str]) -> dict[str, str]:
    """What the programs see of the person's own variables."""
    return {
        name: value
        for name, value in person.items()
        if name in _INHERITED or name.startswith("RECMESH_")
    }


def drain_seconds(person: Mapping[str, str]) -> float:
    """How long each program may take, when it is told to stop, to end what it has in hand."""
    try:
        return float(person["RECMESH_DRAIN_SECONDS"])
    except (KeyError, ValueError):
        # What is none keeps the programs from starting, and they say so.
        default: float = ServiceSettings.model_fields["drain_seconds"].default
        return default


def admin_account(vault: Vault) -> dict[str, str]:
    """The first admin."""
    return {
        "RECMESH_ADMIN_EMAIL": ADMIN_EMAIL,
        "RECMESH_ADMIN_PASSWORD": vault.password("admin"),
    }


def key_hashes(vault: Vault) -> dict[str, str]:
    """By which the auth service knows the services' keys."""
    hashes = {service: vault.api_key_hash(service) for service in KEY_HOLDERS}
    return {"RECMESH_SERVICE_KEY_HASHES": json.dumps(hashes)}


def caller(vault: Vault, ports: Ports) -> dict[str, str]:
    """For a program that calls the mesh from outside: where it is, and the admin's account."""
    return {
        "RECMESH_AUTH_TARGET": address(ports.auth),
        "RECMESH_CATALOG_TARGET": address(ports.catalog),
        "RECMESH_RECOMMENDER_TARGET": address(ports.recommender),
        **admin_account(vault),
    }
