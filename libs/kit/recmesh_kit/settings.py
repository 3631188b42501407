"""Settings from the environment and from files of secrets: documented, checked at start, printed without secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PREFIX = "RECMESH_"
HIDDEN = "***"
METRICS_OFF = "off"
SECRETS_DIR = "RECMESH_SECRETS_DIR"
"""Names a folder of files, each named as a variable (`DATABASE_URL`, `RECMESH_SERVICE_KEY`), that hold values in its
stead, as containers are given secrets. The variable itself goes before.
"""
_EXIT_STATUS = 2

S = TypeVar("S", bound="EnvironmentSettings")

Address = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):\d{1,5}$")]
"""`host:port`; an IPv6 host stands in brackets."""
_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+:\d{1,5}/?$")]
_Level = Annotated[
    Literal["debug", "info", "warning", "error"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]


class EnvironmentSettings(BaseSettings):
    """Base of all settings: a field `x` is read from `RECMESH_X`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="ignore",
        frozen=True,
        validate_by_name=True,
        validate_by_alias=True,
        # An error would otherwise print the value, which may be a secret.
        hide_input_in_errors=True,
    )

    def redacted(self) -> dict[str, object]:
        """All fields, fit to be logged: secrets, and passwords within URLs, are `***`."""
        return {name: _redact(getattr(self, name)) for name in type(self).model_fields}


class ServiceSettings(EnvironmentSettings):
    """What every process that serves gRPC reads."""

    listen: Address = Field(
        "0.0.0.0:50050",
        description="Address that the gRPC server listens on, `host:port`.",
    )
    share_port: bool = Field(
        False,
        description="Listen beside another process on the same addresses, once ready, to take over from it without a "
        "gap.",
    )
    log_level: _Level = Field("info", description="Least severe level that is logged.")
    log_format: Literal["json", "console"] = Field(
        "json", description="One JSON object a line, or text for people."
    )
    default_deadline_seconds: float = Field(
        30, gt=0, description="Deadline of a unary call whose caller set none."
    )
    max_deadline_seconds: float = Field(
        120, gt=0, description="Longest deadline of a unary call; a later one is cut to it."
    )
    drain_seconds: float = Field(
        20, ge=0, description="How long calls and messages in hand may take to end at a stop."
    )
    max_message_bytes: int = Field(
        4 * 1024 * 1024, gt=0, description="Largest gRPC message, received or sent."
    )
    max_metadata_bytes: int = Field(
        16 * 1024, gt=0, description="Most metadata (headers) of one call."
    )
    max_concurrent_calls: int = Field(
        1000, gt=0, description="Calls in hand at once; one more is RESOURCE_EXHAUSTED."
    )
    keepalive_seconds: int = Field(
        30, gt=0, description="Silence on a connection after which the peer is pinged."
    )
    max_connection_age_seconds: int = Field(
        600, gt=0, description="Age at which a connection is closed, so that clients spread anew."
    )
    max_connection_age_grace_seconds: int = Field(
        60, ge=0, description="How long calls may go on over a connection that is too old."
    )
    channelz: bool = Field(False, description="Serve gRPC channelz, for debugging connections.")
    metrics_listen: Literal["off"] | Address = Field(
        "off",
        description="Address that the metrics are served on over HTTP, for Prometheus, `host:port`; or `off`, and none "
        "are taken.",
    )
    otlp_endpoint: _Url | None = Field(
        None,
        description="Collector that traces are sent to, by OTLP over gRPC: `http://host:port`, or `https` for TLS. "
        "Without it none are recorded, and those of callers are passed on.",
    )
    trace_sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the traces that begin here which is recorded. Of a trace that the caller began, the "
        "caller decides.",
    )
    probe_interval_seconds: float = Field(
        2, gt=0, description="How often dependencies are asked whether they are there."
    )
    liveness_seconds: float = Field(
        60,
        gt=0,
        description="How long a process may do nothing of what it is there for, though all that it needs is there, "
        "until it says that it is not alive.",
    )
    faults: Path | None = Field(
        None, description="A folder whose files make this process fail at named points: for tests."
    )


class DatabaseSettings(EnvironmentSettings):
    """What a process with a database reads."""

    database_url: SecretStr = Field(
        validation_alias="DATABASE_URL",
        description="`postgresql://role:password@host:port/database`, of the service's own role.",
    )
    database_pool_size: int = Field(10, gt=0, description="Most connections open at once.")
    database_timeout_seconds: float = Field(
        5, gt=0, description="Limit of connecting, of waiting for a connection, and of a statement."
    )


class BrokerSettings(EnvironmentSettings):
    """What a process with a message broker reads."""

    amqp_url: SecretStr = Field(
        validation_alias="AMQP_URL",
        description="`amqp://user:password@host:port/vhost`; of several nodes, one for each, comma-separated.",
    )
    broker_timeout_seconds: float = Field(
        5, gt=0, description="Limit of connecting and of each operation, publishing among them."
    )


def load(cls: type[S]) -> S:
    """Reads the settings; says on stderr what is missing or wrong, a line each, and exits with 2."""
    secrets = os.environ.get(SECRETS_DIR) or None
    try:
        if not secrets or Path(secrets).is_dir():
            return cls(_secrets_dir=secrets)
        lines = [f"{SECRETS_DIR}: there is no folder {secrets}"]
    except ValidationError as error:
        lines = [_line(cls, problem["loc"], problem["msg"]) for problem in error.errors()]
    except SettingsError as error:
        # A file's content is in no error of the system's.
        cause = error.__cause__
        lines = [f"{error}: {cause}" if isinstance(cause, OSError) else str(error)]
    except OSError as error:
        lines = [f"{SECRETS_DIR}: {error}"]
    for line in lines:
        sys.stderr.write(f"settings: {line}\n")
    sys.exit(_EXIT_STATUS)


def _line(cls: type[EnvironmentSettings], path: tuple[int | str, ...], message: str) -> str:
    if not path:
        return message
    first, *rest = map(str, path)
    known = first in cls.model_fields
    variable = f"{PREFIX}{first.upper()}" if known else first
    field = cls.model_fields.get(first if known else first.lower())
    about = f" ({field.description})" if field and field.description else ""
    return f"{'.'.join([variable, *rest])}: {message}{about}"


def _redact(value: object) -> object:
    match value:
        case SecretStr():
            return HIDDEN
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _redact(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redact(item) for item in value]
        case _:
            return _hide_password(str(value))


def _hide_password(text: str) -> str:
    try:
        parts = urlsplit(text)
        secret = parts.password
    except ValueError:
        return text
    if not secret:
        return text
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{HIDDEN}@{host}"))
