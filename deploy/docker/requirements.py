"""What an image has to install, from the pyproject.toml files: `python requirements.py FOLDER OUTPUT`.

Writes `OUTPUT/others.txt`, the packages of others that the package in FOLDER and our libraries below it need, as pip's
requirements, and `OUTPUT/own.txt`, the folders of ours. As long as the first stays the same, so does its layer.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

LIBRARIES = Path("libs")
_OURS = re.compile(r"recmesh-([a-z]+)(?:\[([a-z,]+)\])?$")


def needs(folder: Path, extras: Iterable[str]) -> list[str]:
    """The requirements of the package in a folder and of some of its extras, as they stand in its pyproject.toml."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(need for extra in extras for need in optional[extra])]


def collect(folder: Path) -> tuple[list[Path], list[str]]:
    """Our folders, those that are needed first, and what of others they need."""
    own: list[Path] = []
    others: set[str] = set()

    def visit(place: Path, extras: Iterable[str]) -> None:
        for requirement in needs(place, extras):
            if ours := _OURS.match(requirement):
                library, wanted = ours.groups(default="")
                visit(LIBRARIES / library, wanted.split(",") if wanted else ())
            else:
                others.add(requirement)
        if place not in own:
            own.append(place)

    visit(folder, ())
    return own, sorted(others)


def main(folder: Path, output: Path) -> None:
    """Writes both files."""
    own, others = collect(folder)
    output.mkdir(parents=True, exist_ok=True)
    (output / "own.txt").write_text("".join(f"./{place}\n" for place in own))
    (output / "others.txt").write_text("".join(f"{requirement}\n" for requirement in others))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
