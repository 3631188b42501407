"""Logs: one JSON object a line on stdout, from our own code and from libraries alike."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from recmesh_kit.log_lines import Lines

# Their INFO lines tell of every message, statement or reconnection attempt. The broker client logs a lost
# connection once itself, so of aio-pika and aiormq only real errors are of interest.
_QUIET = {
    "aio_pika": logging.ERROR,
    "aiormq": logging.CRITICAL,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "grpc": logging.WARNING,
    "httpx": logging.WARNING,
    "sqlalchemy": logging.WARNING,
}


def configure_logging(service: str, level: str, fmt: str) -> None:
    """Sets up structlog and the standard library's logging, for the whole process.

    Our own lines go from structlog straight to stdout; a library's take the way of its records to the same renderer.

    Args:
        service: Name of the service, put on every line.
        level: The least severe level that is logged: `debug`, `info`, `warning` or `error`.
        fmt: `json`, or `console` for people.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    lines = Lines()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _Service(service),
    ]
    renderers = _renderers(fmt)
    root = logging.getLogger()
    root.handlers[:] = [_Handler(lines, [*shared, structlog.stdlib.ExtraAdder()], renderers)]
    root.setLevel(threshold)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(threshold, least))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[_add_logger, *shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Factory(lines),
        cache_logger_on_first_use=True,
    )


class _Logger:
    """Where structlog hands a rendered line to, whatever its level."""

    def __init__(self, name: str, lines: Lines) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = lines.put


class _Factory:
    """Makes loggers, called after the module that logs unless it gives them a name."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._named = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])

    def __call__(self, *args: Any) -> _Logger:
        return _Logger(self._named(*args).name, self._lines)


class _Handler(logging.Handler):
    """Passes the records of the standard library's logging on."""

    def __init__(
        self, lines: Lines, shared: Sequence[Processor], renderers: Sequence[Processor]
    ) -> None:
        super().__init__()
        self._lines = lines
        remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
                processors=[remove, *renderers],
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put(self.format(record))
        except Exception:
            self.handleError(record)


def _renderers(fmt: str) -> list[Processor]:
    if fmt == "console":
        # Tracebacks without the values of variables, which may be secret.
        plain = structlog.dev.plain_traceback
        return [
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)
        ]
    return [structlog.processors.format_exc_info, _render]


# Made once: `json.dumps` would make one a line.
_encode = json.JSONEncoder(default=repr).encode


def _render(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return _encode(event)


def _add_logger(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


class _Service:
    """Puts the service's name on every line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event.setdefault("service", self._name)
        return event
