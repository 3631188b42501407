"""The mesh: its servers and services, and the order in which they start and stop."""

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial

from localmesh import prometheus
from localmesh.children import POLL_SECONDS, STOP_SECONDS, Child, Spec
from localmesh.debian import program
from localmesh.environment import METRICS, METRICS_OFF, Environment, drain_seconds
from localmesh.errors import MeshError
from localmesh.listening import listens
from localmesh.plan import Plan
from localmesh.ports import require_free
from localmesh.prometheus import Prometheus, Target
from localmesh.rabbitmq import server_script
from localmesh.servers import Broker, Database, kind, numbered
from localmesh.state import MemberState, MeshState, await_predecessors, born
from localmesh.supervisor import Member, Supervisor, Unit, together
from recmesh_kit import probe

SUPERVISOR_LOG = "supervisor.log"
_SERVICE_SECONDS = 120.0
_WORKER_SECONDS = 240.0
"""A worker loads the encoder before it is ready."""
_MIGRATION_SECONDS = 240.0
_SERVERS_STOP_SECONDS = 120.0
_STAGES_OF_SERVICES = 5
"""Auth, the catalog, recommenders, workers; and one that is being replaced."""


class Mesh:
    """Runs what a plan asks for. `say` gets a line about each event worth a line."""

    def __init__(self, plan: Plan, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        plan.paths.make()
        self._plan = plan
        self._database = Database(plan)
        self._broker = Broker(plan)
        environment = Environment(
            *(plan.person, plan.vault, plan.ports),
            *(self._database.urls, self._broker.urls, plan.detours),
        )
        self._auth = self._spec("auth", "auth", environment.auth())
        self._catalog = self._spec("catalog", "catalog", environment.catalog())
        self._recommenders = [
            self._spec("recommender", numbered("recommender", i), environment.recommender(i))
            for i in range(plan.recommenders)
        ]
        self._workers = [
            self._spec("worker", f"worker-{i}", environment.worker(i)) for i in range(plan.workers)
        ]
        self._monitoring = self._monitor()
        stages = [
            self._database.units,
            self._broker.units,
            *([_unit(spec, _SERVICE_SECONDS)] for spec in (self._auth, self._catalog)),
            [_unit(spec, _SERVICE_SECONDS) for spec in self._recommenders],
            [_unit(spec, _WORKER_SECONDS) for spec in self._workers],
            self._monitoring,
        ]
        self._supervisor = Supervisor(stages, say, changed, plan.longest_pause)

    async def start(self) -> None:
        """Start everything; returns when all of it is healthy. Raises MeshError."""
        if self._broker.units:
            server_script()
        if self._monitoring:
            await asyncio.to_thread(program, prometheus.NAME)
        await await_predecessors(self._plan.paths)
        require_free(self._wanted_ports())
        self._turn_logs()
        brokers = (unit.name for unit in self._broker.units)
        await together(self._supervisor.start(*brokers), self._start_auth())
        callers = [spec.name for spec in (self._catalog, *self._recommenders, *self._workers)]
        try:
            await self._supervisor.start(*callers, *(unit.name for unit in self._monitoring))
        except MeshError as error:
            text = str(error)
            raise MeshError(text + self._broker.advice(text)) from error

    async def restart(self, name: str) -> None:
        """Put another process in the place of a program's; returns when all services serve. Raises MeshError."""
        await self._supervisor.replace(name)
        deadline = time.monotonic() + _SERVICE_SECONDS
        while unready := [s.name for s in self._services if not await probe.serving(s.address)]:
            if time.monotonic() > deadline:
                msg = f"after the restart of {name} not ready: {', '.join(unready)}"
                raise MeshError(msg)
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Stop what runs: Prometheus, workers, recommenders, catalog, auth, RabbitMQ, PostgreSQL."""
        await self._supervisor.stop()

    def state(self, pid: int, phase: str, error: str = "") -> MeshState:
        """What runs at the moment, said by the supervisor with this `pid`."""
        members = [_member_state(member) for member in self._supervisor.members]
        return MeshState(
            *(pid, phase, error, self._plan.ports.offset, members),
            stop_limit=_SERVERS_STOP_SECONDS + _STAGES_OF_SERVICES * self._service_stop_limit,
        )

    def _turn_logs(self) -> None:
        """Each start has logs of its own; those of the last one are kept beside them."""
        for log in self._plan.paths.logs.glob("*.log"):
            if log.name != SUPERVISOR_LOG:
                log.replace(log.with_suffix(".log.1"))

    async def _start_auth(self) -> None:
        """The way to the service that the others ask for keys; RabbitMQ starts meanwhile."""
        await self._supervisor.start("postgres")
        await self._database.provision()
        with_tables = (self._auth, self._catalog, *self._recommenders[:1])
        await together(*(self._migrate(spec) for spec in with_tables))
        await self._supervisor.start("auth")

    async def _migrate(self, service: Spec) -> None:
        name = f"{service.name}-migrate"
        child = Child(
            Spec(
                name=name,
                argv=(*service.argv, "migrate"),
                env=service.env,
                log=service.log.with_name(f"{name}.log"),
                cwd=service.cwd,
            )
        )
        try:
            child.start()
            await child.complete(_MIGRATION_SECONDS)
        finally:
            await child.stop()

    def _spec(self, service: str, name: str, env: dict[str, str]) -> Spec:
        return Spec(
            name=name,
            argv=(sys.executable, "-m", f"recmesh_{service}"),
            env=env,
            log=self._plan.paths.logs / f"{name}.log",
            address=env["RECMESH_LISTEN"],
            stop_limit=self._service_stop_limit,
            metrics="" if env[METRICS] == METRICS_OFF else env[METRICS],
            cwd=self._plan.root,
        )

    @property
    def _service_stop_limit(self) -> float:
        return drain_seconds(self._plan.person) + STOP_SECONDS

    @property
    def _services(self) -> tuple[Spec, ...]:
        return (self._auth, self._catalog, *self._recommenders, *self._workers)

    def _monitor(self) -> list[Unit]:
        """What has to run for all of that to be watched."""
        plan = self._plan
        if not plan.monitoring:
            return []
        services = [
            Target(kind(spec.name), spec.name, spec.metrics)
            for spec in self._services
            if spec.metrics
        ]
        server = Prometheus(
            folder=plan.paths.prometheus,
            port=plan.ports.prometheus,
            seconds=plan.monitoring,
            targets=[*services, *self._broker.targets],
            log=plan.paths.logs / f"{prometheus.NAME}.log",
        )
        return [Unit(prometheus.NAME, server.prepare, server.ready, prometheus.START_LIMIT)]

    def _wanted_ports(self) -> dict[str, int]:
        wanted = {spec.name: spec.address for spec in self._services}
        for spec in self._services:
            if spec.metrics:
                wanted[f"{spec.name}'s metrics"] = spec.metrics
        found = {name: int(target.rpartition(":")[2]) for name, target in wanted.items()}
        if self._database.units:
            found["postgres"] = self._plan.ports.postgres
        if self._monitoring:
            found[prometheus.NAME] = self._plan.ports.prometheus
        return found | self._broker.ports


def _unit(spec: Spec, limit: float) -> Unit:
    async def prepare() -> Spec:
        return spec

    async def takes_over(pid: int) -> bool:
        # It listens once it is ready; whether it or the one before answers, is by chance.
        port = int(spec.address.rpartition(":")[2])
        return listens(pid, port) and await probe.serving(spec.address)

    return Unit(spec.name, prepare, partial(probe.serving, spec.address), limit, takes_over)


def _member_state(member: Member) -> MemberState:
    child = member.child
    pid = child.pid if child else None
    return MemberState(
        name=member.unit.name,
        address=child.spec.address if child else "",
        state=member.state,
        restarts=member.restarts,
        pid=pid,
        born=born(pid) if pid else None,
        metrics=child.spec.metrics if child else "",
    )
