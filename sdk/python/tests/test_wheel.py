"""The wheels of the SDK and the stubs build, and the SDK imports with them and gRPC alone."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[3]
THIRD = ("grpc", "google", "typing_extensions.py")
FORBIDDEN = ("torch", "numpy", "pydantic", "sqlalchemy", "aio_pika", "recmesh_kit", "recmesh_jobs")
IMPORT = """
import sys
import recmesh_client
recmesh_client.Client.connect("localhost:1").close()
mine = {name.partition(".")[0] for name in sys.modules}
print(*sorted(mine), sep="\\n")
print(recmesh_client.__file__)
"""


def built(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.whl"))


async def run(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 600)
    assert process.returncode == 0, complained.decode()
    return said.decode()


async def test_the_wheel_imports_alone(tmp_path: Path) -> None:
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    site = tmp_path / "site"
    sources = (ROOT / "libs/stubs", ROOT / "sdk/python")
    await run(sys.executable, "-m", "pip", "wheel", *offline, "-w", tmp_path, *sources)
    wheels = built(tmp_path)
    assert [wheel.name.split("-")[0] for wheel in wheels] == ["recmesh_client", "recmesh_stubs"]
    await run(sys.executable, "-m", "pip", "install", *offline, "--target", site, *wheels)
    assert (site / "recmesh_client/py.typed").exists()
    # What it depends on by name, taken from this environment, and nothing else of it.
    installed = Path(sysconfig.get_path("purelib"))
    for name in THIRD:
        (site / name).symlink_to(installed / name)
    # -I -S: neither this environment's packages nor the editable ones of this checkout.
    code = f"import sys; sys.path.insert(0, {str(site)!r}){IMPORT}"
    *modules, file = (await run(sys.executable, "-I", "-S", "-c", code)).split()
    assert Path(file).is_relative_to(site)
    services = ("auth", "catalog", "recommender", "worker")
    assert not set(modules) & {*FORBIDDEN, *(f"recmesh_{name}" for name in services)}
    assert {"recmesh", "recmesh_client", "grpc", "google"} <= set(modules)
