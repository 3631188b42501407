"""Real servers for every test that asks for one."""

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback

pytest_plugins = ["localmesh.pytest_plugin"]


def pytest_configure() -> None:
    """Has logged exceptions written plainly: drawn in colour, one holds up the event loop for seconds."""
    *processors, _ = structlog.get_config()["processors"]
    renderer = ConsoleRenderer(exception_formatter=plain_traceback)
    structlog.configure(processors=[*processors, renderer])
