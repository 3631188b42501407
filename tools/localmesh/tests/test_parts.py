import fcntl
import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from localmesh import launch, testhost
from localmesh.definitions import ALL, User
from localmesh.environment import METRICS, Environment
from localmesh.errors import MeshError
from localmesh.mesh import Mesh
from localmesh.paths import Paths
from localmesh.plan import Plan
from localmesh.ports import MOST_BROKERS, MOST_RECOMMENDERS, Ports, require_free
from localmesh.rabbitmq import ADMIN, MISSING, RabbitMQ
from localmesh.servers import Broker, Database, broker_users
from localmesh.state import MeshState, last_state, take_lock
from localmesh.vault import Vault
from recmesh_kit import broker as kit_broker
from recmesh_kit.amqp import TopologyError
from recmesh_kit.layout import permissions
from recmesh_kit.topology import Queue, Topology


def test_secrets_are_the_same_at_every_start(tmp_path: Path) -> None:
    assert Vault(tmp_path / "v").password("x") == Vault(tmp_path / "v").password("x")
    assert Vault(tmp_path / "v").password("x") != Vault(tmp_path / "v").password("y")


def test_api_key_has_the_promised_form(tmp_path: Path) -> None:
    prefix, service, secret = Vault(tmp_path).api_key("worker").split("_", 2)
    assert (prefix, service, len(secret)) == ("rmk", "worker", 43)


def test_signing_key_is_made_once(tmp_path: Path) -> None:
    folder = Vault(tmp_path).signing_keys()
    (file,) = Vault(tmp_path).signing_keys().iterdir()
    assert file.parent == folder
    assert isinstance(load_pem_private_key(file.read_bytes(), None), Ed25519PrivateKey)


def test_offset_moves_every_port() -> None:
    ports = Ports.of({"RECMESH_PORT_OFFSET": "1000"})
    assert (ports.auth, ports.postgres, ports.worker(2)) == (51051, 56432, 51062)


def test_no_port_is_given_twice() -> None:
    ports, workers = Ports(), range(64)
    given = [
        *(ports.auth, ports.catalog, ports.postgres, ports.rabbitmq_nodes),
        *(ports.rabbitmq_at(index) for index in range(MOST_BROKERS)),
        *(ports.rabbitmq_metrics_at(index) for index in range(MOST_BROKERS)),
        ports.prometheus,
        *(ports.auth_metrics, ports.catalog_metrics),
        *(ports.recommender_at(index) for index in range(MOST_RECOMMENDERS)),
        *(ports.recommender_metrics_at(index) for index in range(MOST_RECOMMENDERS)),
        *(ports.worker(index) for index in workers),
        *(ports.worker_metrics(index) for index in workers),
    ]
    assert len(set(given)) == len(given)
    assert (ports.recommender, ports.rabbitmq) == (50053, 55672)


def test_services_go_by_the_detours_and_the_mesh_does_not(tmp_path: Path) -> None:
    ports = Ports(100)
    plan = Plan(
        *(tmp_path, ports, 1, {}),
        brokers=3,
        detours={ports.postgres: 1, ports.rabbitmq_at(2): 2, ports.auth: 3, ports.catalog: 4},
    )
    database, broker = Database(plan), Broker(plan)
    environment = Environment(
        {}, plan.vault, ports, database.urls, broker.urls, detours=plan.detours
    )
    for env in (environment.recommender(1), environment.worker(0)):
        nodes = env["AMQP_URL"].split(",")
        assert [urlsplit(url).port for url in nodes] == [55772, 55774, 2]
        assert urlsplit(env["DATABASE_URL"]).port == 1
        assert env["RECMESH_AUTH_TARGET"] == "127.0.0.1:3"
        assert env["RECMESH_CATALOG_TARGET"] == "127.0.0.1:4"
    assert environment.auth()["RECMESH_LISTEN"] == "127.0.0.1:50151"
    assert environment.recommender(1)["RECMESH_LISTEN"] == "127.0.0.1:50154"
    assert [urlsplit(url).port for url in broker.admin_urls] == [55772, 55774, 55775]
    assert broker.ports["rabbitmq-2"] == 55775


def test_services_have_users_of_their_own_rights(tmp_path: Path) -> None:
    users = broker_users(Vault(tmp_path))
    assert users["recmesh_worker"].rights == permissions("worker")
    assert [name for name, user in users.items() if user.rights == ALL] == [ADMIN]


async def test_queues_of_another_version_are_told_how_to_migrate(
    tmp_path: Path, amqp_url: str
) -> None:
    name = f"localmesh-{os.getpid()}"
    old, new = (Topology(queues=(Queue(name, max_length=length),)) for length in (1, 2))
    async with kit_broker.Broker(amqp_url, name=name, timeout_seconds=30) as broker:
        await broker.declare(old)
        with pytest.raises(TopologyError) as told:
            await broker.declare(new)
    own = Broker(Plan(tmp_path, Ports(), 1, {}))
    assert f"rm -r {tmp_path / '.local/rabbitmq'}`" in own.advice(str(told.value))
    assert own.advice("something else") == ""
    given = Broker(Plan(tmp_path, Ports(), 1, {"AMQP_URL": amqp_url}))
    assert given.advice(str(told.value)) == ""


@pytest.mark.parametrize(("wish", "told"), [({}, "127.0.0.1:50172"), ({METRICS: "off"}, "off")])
def test_metrics_can_be_turned_off(tmp_path: Path, wish: dict[str, str], told: str) -> None:
    urls = {"recmesh_catalog": "postgresql://somewhere"}
    environment = Environment(wish, Vault(tmp_path), Ports(100), urls, {})
    assert environment.catalog()[METRICS] == told


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [({}, 20), ({"RECMESH_DRAIN_SECONDS": "300"}, 300), ({"RECMESH_DRAIN_SECONDS": "soon"}, 20)],
)
def test_what_drains_is_not_killed(tmp_path: Path, wish: dict[str, str], seconds: float) -> None:
    mesh = Mesh(Plan(tmp_path, Ports(), 1, wish), print, lambda: None)
    services = [spec.stop_limit for spec in mesh._services]
    assert min(services) > seconds
    # One stage after the other.
    assert mesh.state(1, "ready").stop_limit > sum(services)


@pytest.mark.parametrize("text", ["many", "1.5", "20000"])
def test_wrong_offset_is_told(text: str) -> None:
    with pytest.raises(MeshError, match="RECMESH_PORT_OFFSET"):
        Ports.of({"RECMESH_PORT_OFFSET": text})


def test_every_taken_port_is_named() -> None:
    any_port = ("127.0.0.1", 0)
    with socket.create_server(any_port) as one, socket.create_server(any_port) as two:
        first, second = (taker.getsockname()[1] for taker in (one, two))
        with pytest.raises(MeshError) as told:
            # 0 is any port that is free.
            require_free({"auth": first, "catalog": second, "worker-0": 0})
    assert f"port {first}, which auth needs; port {second}, which catalog needs" in str(told.value)
    assert "worker-0" not in str(told.value)


def test_who_asks_whether_it_runs_keeps_no_supervisor_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(tmp_path)
    paths.lock.touch()
    asking = os.open(paths.lock, os.O_RDWR)
    fcntl.flock(asking, fcntl.LOCK_SH)
    pauses = itertools.count(1)

    def pause(_: float) -> None:
        # However long whoever asks is held up.
        if next(pauses) == 100:
            os.close(asking)

    monkeypatch.setattr("localmesh.state.time.sleep", pause)
    lock = take_lock(paths)
    assert lock is not None
    assert take_lock(paths) is None
    os.close(lock)


def test_what_another_version_wrote_of_itself_is_understood(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.state.write_text('{"pid": 1, "phase": "ready", "members": [], "restart": null}')
    assert last_state(paths) == MeshState(1, "ready")


def test_program_of_a_dead_parent_does_not_start(tmp_path: Path) -> None:
    nobody = 2**22 + 1
    result = subprocess.run(  # noqa: S603 - a list, no shell
        [sys.executable, launch.__file__, str(nobody), "9", "keep", "touch", tmp_path / "started"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 127
    assert "the parent is gone" in result.stderr
    assert not (tmp_path / "started").exists()


async def test_missing_rabbitmq_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localmesh.rabbitmq._PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeshError) as told:
        await node(tmp_path).prepare()
    assert str(told.value) == MISSING
    assert "apt-get install rabbitmq-server" in MISSING


async def test_node_killed_in_its_first_start_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "data" / "half"
    half.mkdir(parents=True)
    await node(tmp_path).prepare()
    assert not half.exists()
    half.mkdir(parents=True)
    (tmp_path / "proven").touch()
    await node(tmp_path).prepare()
    assert half.exists()


def test_passwords_are_not_printed(tmp_path: Path) -> None:
    assert "secret" not in repr(node(tmp_path))


def test_folders_of_killed_runs_are_swept(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "lock").touch()
    running = testhost.claim(tmp_path / "running")
    mine = testhost.claim(tmp_path / "mine")
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"running", "mine"}
    os.close(running)
    os.close(mine)


def node(folder: Path) -> RabbitMQ:
    return RabbitMQ(folder, 1, 2, {"someone": User("secret")}, ("/",), folder / "log")
