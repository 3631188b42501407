"""PostgreSQL and RabbitMQ: the mesh's own, or those that DATABASE_URL and AMQP_URL name."""

from localmesh import postgres, rabbitmq
from localmesh.definitions import User, admin
from localmesh.plan import Plan
from localmesh.ports import address
from localmesh.postgres import Postgres
from localmesh.prometheus import BROKER, Target
from localmesh.rabbitmq import Cluster, RabbitMQ
from localmesh.supervisor import Unit
from localmesh.vault import Vault, role_passwords
from recmesh_kit import layout, provision

DATABASE = "recmesh"
VHOST = "recmesh"
AMQP_ROLES: dict[str, layout.RoleName] = {f"recmesh_{role}": role for role in layout.ROLES}
"""RabbitMQ's user -> what it does there."""
_OTHER_PROPERTIES = "exists with other properties"
"""Of the text of `recmesh_kit.amqp.TopologyError`."""
_MIGRATION = """
The queues of this mesh's own RabbitMQ are of another version. To migrate: `python -m localmesh down`, `rm -r {folder}`,
and start again. Nothing is lost with them: jobs are dispatched again from their rows, and changes of catalogs that were
on their way are found by `recmesh admin verify`."""


class Database:
    """Where the services keep their tables."""

    def __init__(self, plan: Plan) -> None:
        self._given = plan.person.get("DATABASE_URL", "")
        self._passwords = role_passwords(plan.vault)
        self._detour = plan.detour(plan.ports.postgres)
        self._own = Postgres(
            folder=plan.paths.postgres,
            port=plan.ports.postgres,
            password=plan.vault.password("postgres"),
            log=plan.paths.logs / "postgres.log",
        )

    @property
    def units(self) -> list[Unit]:
        """What has to run for it."""
        if self._given:
            return []
        return [Unit("postgres", self._own.prepare, self._own.ready, postgres.START_LIMIT)]

    @property
    def urls(self) -> dict[str, str]:
        """Role -> URL."""
        own = self._own.url(self._detour)
        url = self._given or provision.with_database(own, DATABASE)
        return provision.role_urls(url, self._passwords)

    @property
    def admin_url(self) -> str:
        """The admin's URL of it, direct."""
        return self._given or provision.with_database(self._own.admin_url, DATABASE)

    async def provision(self) -> None:
        """Make the roles, schemas and rights, once the server runs."""
        await provision.provision_roles(self._given or self._own.admin_url, self._passwords)
        if self._given:
            await provision.provision_database(self._given)
        else:
            await provision.create_database(self._own.admin_url, DATABASE)


class Broker:
    """Where messages go: one node, or a cluster."""

    def __init__(self, plan: Plan) -> None:
        self._given = plan.person.get("AMQP_URL", "")
        self._plan = plan
        self._users = broker_users(plan.vault)
        self._folder = plan.paths.rabbitmq_of(plan.brokers)
        self._own = [self._node(index) for index in range(plan.brokers)]

    @property
    def units(self) -> list[Unit]:
        """What has to run for it."""
        if self._given:
            return []
        return [
            Unit(node.name, node.prepare, node.ready, rabbitmq.START_LIMIT) for node in self._own
        ]

    @property
    def ports(self) -> dict[str, int]:
        """Who -> port, of what has to run for it."""
        if self._given:
            return {}
        return {
            **{node.name: node.port for node in self._own},
            **{
                f"{node.name}'s metrics": node.metrics_port
                for node in self._own
                if node.metrics_port
            },
            "rabbitmq's own tools": self._plan.ports.rabbitmq_nodes,
        }

    @property
    def targets(self) -> list[Target]:
        """Where the nodes that run for it serve their metrics, if they do."""
        return [
            Target(BROKER, node.name, address(node.metrics_port))
            for node in ([] if self._given else self._own)
            if node.metrics_port
        ]

    @property
    def urls(self) -> dict[str, str]:
        """Role -> URL; those of several nodes are separated by commas."""
        return {role: self._given or self._urls(role) for role in AMQP_ROLES}

    @property
    def admin_urls(self) -> list[str]:
        """The admin's of each node, direct."""
        return [node.url(rabbitmq.ADMIN, VHOST) for node in self._own]

    def advice(self, error: str) -> str:
        """What else to do about an error of a service, if the mesh's own node is the cause."""
        if self._given or _OTHER_PROPERTIES not in error:
            return ""
        return _MIGRATION.format(folder=self._folder)

    def _urls(self, role: str) -> str:
        detour = self._plan.detour
        return ",".join(node.url(role, VHOST, detour(node.port)) for node in self._own)

    def _node(self, index: int) -> RabbitMQ:
        paths, ports, size = self._plan.paths, self._plan.ports, self._plan.brokers
        name = numbered("rabbitmq", index)
        cluster = None
        if size > 1:
            cookie = self._plan.vault.password("rabbitmq_cookie")
            cluster = Cluster(index, size, self._folder, cookie)
        return RabbitMQ(
            folder=cluster.folder_of(index) if cluster else self._folder,
            port=ports.rabbitmq_at(index),
            nodes_port=ports.rabbitmq_nodes,
            users=self._users,
            vhosts=(VHOST,),
            log=paths.logs / f"{name}.log",
            name=name,
            cluster=cluster,
            metrics_port=ports.rabbitmq_metrics_at(index) if self._plan.monitoring else None,
        )


def broker_users(vault: Vault) -> dict[str, User]:
    """The users of a node, by name: each service with its rights, and the admin."""
    password = {name: vault.password(f"{name}_amqp") for name in (*AMQP_ROLES, rabbitmq.ADMIN)}
    services = {
        name: User(password[name], layout.permissions(role)) for name, role in AMQP_ROLES.items()
    }
    return {**services, rabbitmq.ADMIN: admin(password[rabbitmq.ADMIN])}


def kind(name: str) -> str:
    """What a program is one of, by its name: that without a number."""
    return name.partition("-")[0]


def numbered(name: str, index: int) -> str:
    """The name of the program that is number `index`, from 0, of its kind: the first has no number."""
    return f"{name}-{index}" if index else name
