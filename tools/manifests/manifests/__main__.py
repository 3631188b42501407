"""`python -m manifests`: checks of what is shipped, from the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from localmesh.errors import MeshError
from localmesh.paths import checkout
from manifests import files
from manifests.errors import ManifestError
from manifests.render import render


def main(argv: list[str]) -> int:
    """Do what the command line says, and return the exit code."""
    arguments = _parser().parse_args(argv)
    root: Path = arguments.root
    try:
        match arguments.command:
            case "render":
                return render(root / "deploy" / "k8s", every=arguments.every)
            case _:
                return files.check(root)
    except (ManifestError, MeshError) as error:
        print(f"manifests: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m manifests",
        description="Checks what Recmesh is shipped with, without running it.",
    )
    parser.add_argument("--root", type=Path, default=checkout(), help="the checkout")
    commands = parser.add_subparsers(dest="command", required=True)
    render_ = commands.add_parser("render", help="render and check the Kubernetes manifests")
    render_.add_argument(
        "--every",
        action="store_true",
        help="every set of components, and not only the telling ones",
    )
    commands.add_parser("files", help="check compose file, Dockerfiles and workflows")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
