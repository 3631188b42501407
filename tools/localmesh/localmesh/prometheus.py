"""Prometheus, of a mesh that is to be watched: it reads the metrics of all programs, and goes by the shipped rules.

What it tells has the labels that it has elsewhere (`deploy/`): `job` is the kind of program, `instance` which one.
"""

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localmesh.children import Spec
from localmesh.debian import program
from localmesh.paths import checkout, private_dir
from localmesh.ports import HOST, address

NAME = "prometheus"
START_LIMIT = 120.0
SCRAPE_SECONDS = 5.0
"""Between two looks, for people."""
BROKER = "rabbitmq"
"""The job of the nodes of RabbitMQ, whose own metrics add up all queues."""
QUEUES = "rabbitmq-queues"
"""That of their metrics queue by queue, which they serve elsewhere."""
RULES = checkout() / "deploy/k8s/components/monitoring/rules"
_READY = b"GET /-/ready HTTP/1.0\r\n\r\n"
_DETAILED = {
    "metrics_path": "/metrics/detailed",
    "params": {"vhost": ["recmesh"], "family": ["queue_coarse_metrics", "queue_consumer_count"]},
}
_KEPT = ("--storage.tsdb.retention.time=7d", "--storage.tsdb.retention.size=512MB")


@dataclass(frozen=True)
class Target:
    """A program that serves its metrics."""

    job: str
    """`auth`, `catalog`, `recommender`, `worker` or `rabbitmq`."""
    instance: str
    """Its name."""
    address: str


@dataclass(frozen=True)
class Prometheus:
    """One server in `folder`, listening on `port` of the loopback interface."""

    folder: Path
    port: int
    seconds: float
    """Between two looks at the targets, and at the rules."""
    targets: Sequence[Target]
    log: Path
    rules: Path = RULES
    """A folder of files with rules, `*.yaml`."""

    async def prepare(self) -> Spec:
        """Write the configuration, and say how to run the server. Raises MeshError when it cannot be had."""
        binary = await asyncio.to_thread(program, NAME)
        private_dir(self.folder)
        file = self.folder / "prometheus.json"
        # JSON is YAML.
        file.write_text(json.dumps(self.configuration(), indent=2))
        return Spec(
            name=NAME,
            argv=(
                *(str(binary), f"--config.file={file}"),
                *(f"--storage.tsdb.path={self.folder / 'data'}", *_KEPT),
                f"--web.listen-address={address(self.port)}",
                "--log.level=warn",
            ),
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)},
            log=self.log,
            address=address(self.port),
        )

    async def ready(self) -> bool:
        """Whether the server says that it answers questions."""
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    writer.write(_READY)
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
                    await writer.wait_closed()
        except OSError:
            return False

    def configuration(self) -> dict[str, Any]:
        """What it is told to do."""
        brokers = [replace(target, job=QUEUES) for target in self.targets if target.job == BROKER]
        every = f"{round(self.seconds * 1000)}ms"
        return {
            "global": {
                "scrape_interval": every,
                "scrape_timeout": every,
                "evaluation_interval": every,
            },
            "rule_files": [str(self.rules / "*.yaml")],
            "scrape_configs": [
                {"job_name": "mesh", "static_configs": _static(self.targets)},
                {"job_name": QUEUES, "static_configs": _static(brokers), **_DETAILED},
            ],
        }


def _static(targets: Iterable[Target]) -> list[dict[str, Any]]:
    return [
        {
            "targets": [target.address],
            "labels": {"job": target.job, "instance": target.instance},
        }
        for target in targets
    ]
