"""What a RabbitMQ node reads at its start: users, vhosts, and who may do what. With them comes no guest."""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from recmesh_kit.topology import Permissions

ALL = Permissions(".*", ".*", ".*")


@dataclass(frozen=True)
class User:
    """One user, with the same rights in every vhost of the node."""

    password: str = field(repr=False)
    rights: Permissions = ALL
    tags: str = ""
    """`administrator`, or nothing."""


def admin(password: str) -> User:
    """One who may do all."""
    return User(password, tags="administrator")


def definitions(users: Mapping[str, User], vhosts: Iterable[str]) -> dict[str, object]:
    """The definitions of users (by name) and vhosts, in the form that the node imports."""
    vhosts = tuple(vhosts)
    return {
        "users": [
            {
                "name": name,
                "password_hash": _password_hash(user.password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": user.tags,
            }
            for name, user in users.items()
        ],
        "vhosts": [{"name": vhost} for vhost in vhosts],
        "permissions": [
            {"user": name, "vhost": vhost, **asdict(user.rights)}
            for name, user in users.items()
            for vhost in vhosts
        ],
    }


def _password_hash(password: str) -> str:
    """As https://www.rabbitmq.com/docs/passwords#computing-password-hash says."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
