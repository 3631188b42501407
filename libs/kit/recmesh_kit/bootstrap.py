"""What every `python -m recmesh_…` does first and last."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import uvloop

from recmesh_kit import faults
from recmesh_kit.errors import CannotStart
from recmesh_kit.logging import configure_logging
from recmesh_kit.migrations import upgrade
from recmesh_kit.settings import DatabaseSettings, ServiceSettings, load

S = TypeVar("S", bound=ServiceSettings)

log = structlog.get_logger()


def main(
    name: str,
    settings_class: type[S],
    run: Callable[[S], Awaitable[None]],
    *,
    migrate: tuple[str, str] | None = None,
) -> None:
    """Reads the settings, sets up logging and runs the service on uvloop; with the argument `migrate` brings its
    tables up to date instead.

    Args:
        name: The service, as its logs call it.
        settings_class: What it reads from the environment.
        run: The service: returns when it was told to stop and has stopped.
        migrate: The package that has the migrations, and the schema; None for a process without tables of its own.
    """
    arguments = sys.argv[1:]
    if arguments not in ([], ["migrate"]) or (arguments and migrate is None):
        sys.exit(f"usage: python -m recmesh_{name}{' [migrate]' if migrate else ''}")
    # As process 1 of a container it would not hear of it until `serve` listens.
    signal.signal(signal.SIGTERM, _leave)
    settings = load(settings_class)
    configure_logging(name, settings.log_level, settings.log_format)
    if arguments and migrate is not None:
        assert isinstance(settings, DatabaseSettings)
        upgrade(settings.database_url.get_secret_value(), *migrate)
        return
    log.info("starting", settings=settings.redacted())
    if settings.faults is not None:
        log.warning("faults may be armed", folder=str(settings.faults))
        faults.arm(settings.faults)
    uvloop.run(_run(run, settings))


def _leave(number: int, _: object) -> None:
    """Ends as the signal would."""
    sys.exit(128 + number)


async def _run(run: Callable[[S], Awaitable[None]], settings: S) -> None:
    try:
        await run(settings)
    except CannotStart as error:
        log.error("cannot start", error=str(error))  # noqa: TRY400 - no stack is needed
        sys.exit(str(error))
