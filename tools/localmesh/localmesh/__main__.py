"""`python -m localmesh`: the mesh of this checkout, from the command line."""

import argparse
import os
import sys
from pathlib import Path

from localmesh import commands
from localmesh.errors import MeshError
from localmesh.install import install
from localmesh.paths import checkout
from localmesh.plan import Plan
from localmesh.ports import Ports
from localmesh.session import INTERRUPTED

_MOST_WORKERS = 64


def main(argv: list[str]) -> int:
    """Do what the command line says, and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        plan = Plan(
            root=arguments.root.resolve(),
            ports=Ports.of(os.environ),
            workers=getattr(arguments, "workers", 1),
            person=os.environ.copy(),
        )
        match arguments.command:
            case "install":
                return install(plan.person)
            case "up":
                return commands.up(plan)
            case "down":
                return commands.down(plan)
            case "status":
                return commands.status(plan)
            case "run":
                return commands.run(plan)
            case _:
                return commands.execute(plan, arguments.argv)
    except MeshError as error:
        print(f"localmesh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localmesh",
        description="Runs the whole mesh on this machine: PostgreSQL, RabbitMQ, the services.",
        epilog="RECMESH_PORT_OFFSET moves all ports. DATABASE_URL (an admin's) and AMQP_URL name "
        "servers to be used instead of the mesh's own.",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=checkout(),
        help="the folder in which .local lies and the services run (default: this checkout)",
    )
    commands_ = parser.add_subparsers(dest="command", required=True)
    commands_.add_parser("install", help="install the system package that is needed")
    commands_.add_parser("down", help="stop the mesh")
    commands_.add_parser("status", help="say what runs; exit code 3 when nothing does")
    for name, text in (
        ("up", "start the mesh in the background"),
        ("run", "run the mesh until Ctrl-C"),
        ("exec", "run a command while the mesh is up"),
    ):
        command = commands_.add_parser(name, help=text)
        command.add_argument("--workers", type=_workers, default=1, metavar="N")
    command.add_argument("argv", nargs="+", metavar="CMD", help="after --")
    return parser


def _workers(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _MOST_WORKERS:
        msg = f"from 0 to {_MOST_WORKERS}, not {number}"
        raise argparse.ArgumentTypeError(msg)
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
