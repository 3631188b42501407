"""What the simulation takes a cluster to be like. Every number can be given; its default says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class World:
    """Attributes have their sources beside them."""

    job_seconds: float = field(
        default=0.0024,
        metadata={
            "help": "processor seconds of a worker for one job among many. Measured on two cores of an AMD EPYC, "
            "2026-11-21, 64 in flight: texts of nine words 2.4 ms, titles 0.8, items 0.7"
        },
    )
    batch_seconds: float = field(
        default=0.0031,
        metadata={
            "help": "what a batch takes beside its jobs: a job alone takes 3.8 ms (the same measurement, one in flight)"
        },
    )
    batch_share: float = field(
        default=0.25,
        metadata={
            "help": "the most of a worker that goes into that, as batches grow (16 in flight: 0.23 of a core)"
        },
    )
    cores: float = field(
        default=1.0,
        metadata={
            "help": "processor seconds a second that a worker can take: its event loop and one thread that computes, "
            "0.8 seen with all else on the same two cores"
        },
    )
    idle_cores: float = field(
        default=0.01,
        metadata={"help": "what a worker takes that has nothing to do (0.008 to 0.009 measured)"},
    )
    message_seconds: float = field(
        default=0.9,
        metadata={
            "help": "processor seconds for a message of 500 changed items (1.8 ms each, short descriptions; the "
            "same measurement)"
        },
    )
    pod_seconds: float = field(
        default=15.0,
        metadata={
            "help": "from the decision until a worker's process starts: scheduling, image, container (assumed: the "
            "image is on the node; 60 and more if it is not)"
        },
    )
    start_seconds: float = field(
        default=2.9, metadata={"help": "from then until it takes jobs (`make bench-start`)"}
    )
    start_cpu_seconds: float = field(
        default=2.8, metadata={"help": "what that takes of the processor (`make bench-start`)"}
    )
    scrape_seconds: float = field(
        default=15.0, metadata={"help": "between two scrapes (components/monitoring)"}
    )
    broker_seconds: float = field(
        default=5.0,
        metadata={"help": "how often RabbitMQ renews its queues' figures (its default)"},
    )
    limit: int = field(
        default=10_000,
        metadata={"help": "unfinished jobs that are admitted (RECMESH_ADMISSION_LIMIT's default)"},
    )
    latency: float = field(
        default=0.03,
        metadata={"help": "seconds that a job is in hand that does not wait (`make bench-e2e`)"},
    )
