"""PostgreSQL's own tools, their input and output as streams: what they read and write is never whole in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from localmesh.errors import MeshError
from localmesh.postgres import binary

_CHUNK = 1024 * 1024
_LOCK_SECONDS = 60
"""How long a dump waits for a table that is being changed."""
_COPY, _FROM, _END = b"COPY ", b" FROM stdin;\n", b"\\.\n"


def dump(url: str, schemas: Iterable[str], snapshot: str, target: IO[bytes]) -> None:
    """Writes schemas, as a transaction that has exported its snapshot sees them, in the custom format.

    Raises:
        MeshError: It did not go well.
    """
    argv = [
        *("pg_dump", "--format=custom", f"--snapshot={snapshot}"),
        f"--lock-wait-timeout={_LOCK_SECONDS}s",
        *(f"--schema={schema}" for schema in schemas),
    ]
    with _tool(argv, url) as tool:
        assert tool.stdout is not None
        shutil.copyfileobj(tool.stdout, target, _CHUNK)


def count_rows(source: IO[bytes]) -> dict[str, int]:
    """Reads a whole dump, as a restoration does, and counts the rows of each table.

    Raises:
        MeshError: It cannot be read to its end.
    """
    rows: Counter[str] = Counter()
    table = ""
    with _statements(source) as lines:
        for line in lines:
            if not table:
                if line.startswith(_COPY) and line.endswith(_FROM):
                    table = line.split(b" ", 2)[1].decode()
                    rows[table] = 0
            elif line == _END:
                table = ""
            else:
                rows[table] += 1
    return dict(rows)


def restore(url: str, source: IO[bytes], schemas: Sequence[str], rows: Mapping[str, int]) -> None:
    """Replaces schemas by those of a dump, in one transaction: it is all there in the end, or nothing has changed.

    Args:
        url: The admin's, of the database.
        source: The dump.
        schemas: Which, with all that is in them.
        rows: How many rows each table must have.

    Raises:
        MeshError: It did not go well, or something is missing.
    """
    argv = ("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-")
    # What psql writes to its output are results of the dump's own calls.
    with _tool(argv, url, stdin=True, stdout=False) as psql:
        assert psql.stdin is not None
        # Its commands end with a commit, so that a stream that ends before has changed nothing.
        with suppress(BrokenPipeError):
            psql.stdin.write(
                f"BEGIN;\nDROP SCHEMA IF EXISTS {', '.join(schemas)} CASCADE;\n".encode()
            )
            with _statements(source) as lines:
                psql.stdin.writelines(lines)
            psql.stdin.write(_check(rows).encode())
            psql.stdin.write(b"COMMIT;\n")
        with suppress(BrokenPipeError):
            psql.stdin.close()


def _check(rows: Mapping[str, int]) -> str:
    """A statement that fails unless each table has its rows."""
    checks = "".join(
        # The names come quoted from the server.
        f"  IF (SELECT count(*) FROM ONLY {table}) <> {count} THEN\n"  # noqa: S608
        f"    RAISE 'table % has not its % rows', '{table}', {count};\n  END IF;\n"
        for table, count in rows.items()
    )
    return f"DO $check$ BEGIN\n{checks}END $check$;\n"


@contextmanager
def _statements(source: IO[bytes]) -> Iterator[Iterable[bytes]]:
    """A dump as SQL, line by line. The source is read to its end."""
    failures: list[Exception] = []

    def feed(target: IO[bytes]) -> None:
        try:
            with target:
                shutil.copyfileobj(source, target, _CHUNK)
        except BrokenPipeError:
            pass
        except Exception as error:
            failures.append(error)

    with _tool(("pg_restore", "--exit-on-error", "--file=-"), stdin=True) as tool:
        assert tool.stdin is not None
        assert tool.stdout is not None
        feeder = threading.Thread(target=feed, args=(tool.stdin,), name="dump")
        feeder.start()
        try:
            yield tool.stdout
        finally:
            # Whoever has stopped reading wants no more of it.
            tool.stdout.close()
            feeder.join()
        if failures:
            raise failures[0]


@contextmanager
def _tool(
    argv: Sequence[str], url: str = "", *, stdin: bool = False, stdout: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a tool. Raises MeshError, with what it said, unless it ends well."""
    name, *rest = argv
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    if url:
        public, env["PGPASSWORD"] = _reached(url)
        rest.append(f"--dbname={public}")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            [str(binary(name)), *rest],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=said,
            env=env,
        )
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
            code = process.wait()
        if code != 0:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            msg = f"{name} ended with {code}: {'; '.join(lines[-5:]) or 'it said nothing'}"
            raise MeshError(msg)


def _reached(url: str) -> tuple[str, str]:
    """The URL of a database without its password, and that: what a program is called with anybody may read."""
    parts = urlsplit(url)
    login, _, servers = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return urlunsplit(parts._replace(netloc=f"{user}@{servers}" if user else servers)), unquote(
        password
    )
