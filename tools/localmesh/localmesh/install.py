"""Installs the one system package that the mesh needs: RabbitMQ."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localmesh.errors import MeshError
from localmesh.rabbitmq import MISSING, server_script

PACKAGE = "rabbitmq-server"
_APT_SECONDS = 900
_SYSTEMD = Path("/run/systemd/system")


def install(person: Mapping[str, str]) -> int:
    """Install RabbitMQ unless it is there or AMQP_URL makes it needless.

    The system's own broker, which the package would start, neither starts now nor at the next boot.
    Raises MeshError when it is missing and cannot be installed.
    """
    if person.get("AMQP_URL"):
        print("AMQP_URL is set: no RabbitMQ needed")
        return 0
    try:
        print(f"RabbitMQ is installed: {server_script()}")
    except MeshError:
        _install(_become_root())
        print(f"RabbitMQ is installed: {server_script()}")
    return 0


def _become_root() -> tuple[str, ...]:
    """The words before a command that run it as root."""
    if shutil.which("apt-get") is None:
        raise MeshError(MISSING)
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo and _succeeds((sudo, "-n", "true")):
        return (sudo, "-n")
    raise MeshError(MISSING)


def _install(root: tuple[str, ...]) -> None:
    # Runlevel 1 is one in which Debian's packages start no service; systemd does not ask for it.
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
    apt = (*root, *quiet, "apt-get", "-y", "-q")
    systemctl = (*root, "systemctl")
    systemd = _SYSTEMD.exists()
    if systemd:
        _succeeds((*systemctl, "mask", "--runtime", PACKAGE))
    try:
        # The package lists of a fresh machine may be empty or old.
        _succeeds((*apt, "update"))
        if not _succeeds((*apt, "install", "--no-install-recommends", PACKAGE)):
            msg = f"`apt-get install {PACKAGE}` failed. {MISSING}"
            raise MeshError(msg)
    finally:
        if systemd:
            _succeeds((*systemctl, "unmask", "--runtime", PACKAGE))
            _succeeds((*systemctl, "disable", PACKAGE))


def _succeeds(command: tuple[str, ...]) -> bool:
    result = subprocess.run(command, timeout=_APT_SECONDS, check=False)  # noqa: S603 - a list
    return result.returncode == 0
