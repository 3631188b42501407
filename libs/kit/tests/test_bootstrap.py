import asyncio
import signal
import sys
import textwrap
from asyncio.subprocess import PIPE

from recmesh_kit.broker import TopologyError, UnsupportedBroker
from recmesh_kit.errors import CannotStart
from recmesh_kit.link import BadUrl
from recmesh_kit.telemetry.errors import MetricsUnavailable

PROGRAM = """
    import sys
    from recmesh_kit.bootstrap import main
    from recmesh_kit.errors import CannotStart
    from recmesh_kit.settings import ServiceSettings

    async def run(settings):
        try:
            raise KeyError("the cause")
        except KeyError as error:
            raise CannotStart("Do this, then that.") from error

    sys.argv = ["x"]
    main("x", ServiceSettings, run)
"""


async def test_what_keeps_a_process_from_starting_is_told_without_a_stack() -> None:
    assert issubclass(TopologyError, CannotStart)
    assert issubclass(UnsupportedBroker, CannotStart)
    assert issubclass(BadUrl, CannotStart)
    assert issubclass(MetricsUnavailable, CannotStart)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(PROGRAM)), stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode().splitlines()[-1] == "Do this, then that."
    assert "Traceback" not in (out + err).decode()


STARTING = """
    import asyncio, sys
    from recmesh_kit.bootstrap import main
    from recmesh_kit.settings import ServiceSettings

    async def run(settings):
        try:
            print("starting", flush=True)
            await asyncio.sleep(600)
        finally:
            print("cleaned up", flush=True)

    sys.argv = ["x"]
    main("x", ServiceSettings, run)
"""


async def test_told_to_stop_while_it_starts_it_cleans_up_and_ends() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(STARTING)), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while await process.stdout.readline() != b"starting\n":
            pass
        process.terminate()
        out, _ = await process.communicate()
    assert b"cleaned up" in out
    assert process.returncode == 128 + signal.SIGTERM
