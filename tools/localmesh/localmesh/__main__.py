"""`python -m localmesh`: the mesh of this checkout, from the command line."""

import argparse
import os
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path

from localmesh import backup, commands
from localmesh.debian import PROGRAMS, fetch
from localmesh.errors import MeshError
from localmesh.install import install
from localmesh.paths import checkout
from localmesh.plan import Plan
from localmesh.ports import MOST_BROKERS, MOST_RECOMMENDERS, Ports
from localmesh.prometheus import SCRAPE_SECONDS
from localmesh.secret_files import Servers, make_secrets
from localmesh.session import INTERRUPTED

_SIZES = (
    ("--workers", 0, 64, "workers"),
    ("--recommenders", 1, MOST_RECOMMENDERS, "recommenders, the first at the usual port"),
    ("--brokers", 1, MOST_BROKERS, "nodes of RabbitMQ: of three or more, one may be lost"),
)
"""Option, least, most, of what."""


def main(argv: list[str]) -> int:
    """Do what the command line says, and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        plan = Plan(
            root=arguments.root.resolve(),
            ports=Ports.of(os.environ),
            workers=getattr(arguments, "workers", 1),
            person=os.environ.copy(),
            recommenders=getattr(arguments, "recommenders", 1),
            brokers=getattr(arguments, "brokers", 1),
            monitoring=getattr(arguments, "monitoring", 0),
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
            case "restart":
                return commands.restart(plan, arguments.names)
            case "run":
                return commands.run(plan)
            case "fetch":
                return fetch(arguments.programs)
            case "secrets":
                servers = Servers(arguments.postgres, arguments.rabbitmq)
                return make_secrets(arguments.folder, servers)
            case "backup":
                return backup.backup(plan, arguments.file.absolute())
            case "restore":
                return backup.restore(plan, arguments.file.absolute(), force=arguments.force)
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
    restart = commands_.add_parser("restart", help="replace processes, one after the other")
    restart.add_argument(
        "names", nargs="*", metavar="NAME", help="as `status` has it, or all of a kind: worker"
    )
    fetch_ = commands_.add_parser("fetch", help="fetch programs that are not installed")
    fetch_.add_argument("programs", nargs="+", choices=PROGRAMS)
    secrets = commands_.add_parser("secrets", help="make the secrets of a deployment in containers")
    secrets.add_argument("folder", type=Path, metavar="FOLDER")
    for server in fields(Servers):
        secrets.add_argument(
            f"--{server.name}",
            default=server.default,
            metavar="HOST:PORT",
            help=f"where it will be (default: {server.default})",
        )
    backup_ = commands_.add_parser("backup", help="write all tables, and the keys, to a file")
    backup_.add_argument("file", type=Path, metavar="FILE")
    restore = commands_.add_parser("restore", help="put a backup in the place of all tables")
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument("--force", action="store_true", help="also when tables would be lost")
    for name, text in (
        ("up", "start the mesh in the background"),
        ("run", "run the mesh until Ctrl-C"),
        ("exec", "run a command while the mesh is up"),
    ):
        command = commands_.add_parser(name, help=text)
        for option, least, most, about in _SIZES:
            command.add_argument(
                option,
                type=partial(_count, least, most),
                default=1,
                metavar="N",
                help=f"how many {about} (default: 1)",
            )
        command.add_argument(
            "--monitoring",
            type=_seconds,
            nargs="?",
            default=0,
            const=SCRAPE_SECONDS,
            metavar="SECONDS",
            help="have a Prometheus read all metrics, every so often "
            f"(default: {SCRAPE_SECONDS:g}), and go by the shipped rules",
        )
    command.add_argument("argv", nargs="+", metavar="CMD", help="after --")
    return parser


def _count(least: int, most: int, text: str) -> int:
    number = int(text)
    if not least <= number <= most:
        msg = f"from {least} to {most}, not {number}"
        raise argparse.ArgumentTypeError(msg)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 60:
        msg = f"from 0.1 to 60, not {text}"
        raise argparse.ArgumentTypeError(msg)
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
