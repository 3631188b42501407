"""Takes out of installed packages what no process reads: `python trim.py FOLDER [PATTERN …]`.

Tests, what only a compiler reads, what fits one of the patterns (glob, below the folder), and the debugging symbols of
extension modules. A module that would not load without its symbols keeps them. Needs `strip`.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UNREAD = (
    "**/tests/",
    "**/*.a",
    "**/*.c",
    "**/*.cpp",
    "**/*.h",
    "**/*.hpp",
    "**/*.pxd",
    "**/*.pyi",
    "**/*.pyx",
)
STRIP = "/usr/bin/strip"
_LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


def modules(folder: Path) -> Iterator[Path]:
    """Extension modules; not the libraries beside them, which the tools that gather them have laid out anew."""
    for pattern in ("*.cpython-*.so", "*.abi3.so"):
        yield from folder.rglob(pattern)


def remove(path: Path) -> None:
    """Removes a file or a whole folder, unless it went with another."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def strip(module: Path) -> None:
    """Puts the module without its symbols in its place."""
    stripped = module.with_suffix(".stripped")
    subprocess.run([STRIP, "--strip-unneeded", "-o", stripped, module], check=True)  # noqa: S603
    if _loads(stripped) or not _loads(module):
        stripped.replace(module)
    else:
        print(f"left as it is: {module}")
        stripped.unlink()


def main(folder: Path, patterns: list[str]) -> None:
    """Trims the folder."""
    for pattern in (*UNREAD, *patterns):
        for path in list(folder.glob(pattern)):
            remove(path)
    for module in modules(folder):
        strip(module)


def _loads(module: Path) -> bool:
    argv = [sys.executable, "-c", _LOAD, str(module)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0  # noqa: S603


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
