"""PostgreSQL and RabbitMQ: the mesh's own, or those that DATABASE_URL and AMQP_URL name."""

from localmesh import postgres, provision, rabbitmq
from localmesh.plan import Plan
from localmesh.postgres import Postgres
from localmesh.rabbitmq import RabbitMQ
from localmesh.supervisor import Unit

DATABASE = "recmesh"
VHOST = "recmesh"
AMQP_ROLES = ("recmesh_catalog", "recmesh_recommender", "recmesh_worker")


class Database:
    """Where the services keep their tables."""

    def __init__(self, plan: Plan) -> None:
        self._given = plan.person.get("DATABASE_URL", "")
        self._passwords = provision.role_passwords(plan.vault)
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
        url = self._given or provision.with_database(self._own.admin_url, DATABASE)
        return provision.role_urls(url, self._passwords)

    async def provision(self) -> None:
        """Make the roles, schemas and rights, once the server runs."""
        await provision.provision_roles(self._given or self._own.admin_url, self._passwords)
        if self._given:
            await provision.provision_database(self._given)
        else:
            await provision.create_database(self._own.admin_url, DATABASE)


class Broker:
    """Where messages go."""

    def __init__(self, plan: Plan) -> None:
        self._given = plan.person.get("AMQP_URL", "")
        users = (*AMQP_ROLES, rabbitmq.ADMIN)
        self._own = RabbitMQ(
            folder=plan.paths.rabbitmq,
            port=plan.ports.rabbitmq,
            nodes_port=plan.ports.rabbitmq_nodes,
            users={user: plan.vault.password(f"{user}_amqp") for user in users},
            vhosts=(VHOST,),
            log=plan.paths.logs / "rabbitmq.log",
        )

    @property
    def units(self) -> list[Unit]:
        """What has to run for it."""
        if self._given:
            return []
        return [Unit("rabbitmq", self._own.prepare, self._own.ready, rabbitmq.START_LIMIT)]

    @property
    def urls(self) -> dict[str, str]:
        """Role -> URL."""
        return {role: self._given or self._own.url(role, VHOST) for role in AMQP_ROLES}
