"""Real servers for every test that asks for one."""

import signal

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback

pytest_plugins = ["localmesh.pytest_plugin"]


def pytest_configure() -> None:
    """Has logged exceptions written plainly: drawn in colour, one holds up the event loop for seconds.

    And has SIGINT and SIGQUIT heard: a shell has what it starts in the background ignore them, and so would all that
    is started here.
    """
    *processors, _ = structlog.get_config()["processors"]
    renderer = ConsoleRenderer(exception_formatter=plain_traceback)
    structlog.configure(processors=[*processors, renderer])
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
