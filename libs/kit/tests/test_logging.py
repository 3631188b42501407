import json
import subprocess
import sys
import textwrap
from typing import Any


def logged(program: str, level: str = "info", fmt: str = "json") -> list[str]:
    """Logging is set up once a process, so each case is one."""
    start = f"""
        import logging, structlog, sys, warnings
        from recmesh_kit.logging import configure_logging
        configure_logging("catalog", {level!r}, {fmt!r})
        log = structlog.get_logger()
    """
    done = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def lines(program: str, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(program, level)]


def test_a_line_is_an_object_with_what_is_bound() -> None:
    [line] = lines("""
        structlog.contextvars.bind_contextvars(request_id="r1")
        log.info("item created", item="films/1", count=2)
    """)
    assert line.pop("time").endswith("Z")
    assert line.pop("logger")
    assert line == {
        "event": "item created",
        "item": "films/1",
        "count": 2,
        "level": "info",
        "request_id": "r1",
        "service": "catalog",
    }


def test_a_library_logs_the_same_way() -> None:
    [line] = lines("""
        structlog.contextvars.bind_contextvars(request_id="r1")
        logging.getLogger("some.library").warning("lost %s", "it", extra={"host": "h"})
    """)
    assert (line["event"], line["level"], line["logger"]) == ("lost it", "warning", "some.library")
    assert (line["request_id"], line["service"], line["host"]) == ("r1", "catalog", "h")


def test_an_exception_is_one_field() -> None:
    [own, foreign] = lines("""
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("failed")
            logging.getLogger("library").exception("failed too")
    """)
    for line in (own, foreign):
        assert line["level"] == "error"
        assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_the_level_holds_for_all() -> None:
    said = lines(
        """
        log.debug("a"); log.info("b"); log.warning("c")
        logging.getLogger("library").info("d"); logging.getLogger("library").error("e")
        """,
        level="warning",
    )
    assert [line["event"] for line in said] == ["c", "e"]


def test_chatter_of_the_broker_library_is_left_out_and_warnings_are_lines() -> None:
    [line] = lines("""
        logging.getLogger("aio_pika.robust_connection").warning("again and again")
        logging.getLogger("aiormq.connection").error("error when creating transport")
        warnings.warn("watch out", stacklevel=1)
    """)
    assert line["logger"] == "py.warnings"
    assert "watch out" in line["event"]


def test_values_that_are_not_json_do_not_break_the_line() -> None:
    [line] = lines("log.info('x', value={1, 2}, other=object)")
    assert "1, 2" in line["value"]


def test_what_is_logged_last_is_written_and_the_order_stays() -> None:
    said = lines("""
        for number in range(500):
            log.info("own", n=2 * number)
            logging.getLogger("library").info("foreign", extra={"n": 2 * number + 1})
    """)
    assert [line["n"] for line in said] == list(range(1000))


def test_a_reader_that_is_slow_holds_up_nobody() -> None:
    program = """
        import os
        from recmesh_kit import log_lines
        log_lines.MAX_LINES = 2_000
        for number in range(10_000):
            log.info("x" * 100, n=number)
        os.write(2, b"went on")
    """
    start = """
        import structlog
        from recmesh_kit.logging import configure_logging
        configure_logging("catalog", "info", "json")
        log = structlog.get_logger()
    """
    with subprocess.Popen(  # noqa: S603 - our own text
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # Nobody has read a line, and more were logged than a pipe holds.
        assert process.stderr.read(7) == b"went on"
        said = [json.loads(line) for line in process.stdout]
    numbers = [line["n"] for line in said if "n" in line]
    assert numbers == sorted(numbers)
    left_out = sum(line["lines"] for line in said if "lines" in line)
    assert left_out > 0
    assert len(numbers) + left_out == 10_000


def test_console_is_for_people() -> None:
    [line] = logged("log.info('hello', a=1)", fmt="console")
    assert "hello" in line
    assert not line.startswith("{")
