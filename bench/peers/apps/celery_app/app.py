"""The Celery application, known to the web process and the worker."""

from __future__ import annotations

from celery import Celery

from bench.peers.apps.settings import Settings

_QUEUE = "bench.celery.jobs"


def make_app(settings: Settings) -> Celery:
    """The application, with its settings."""
    app = Celery("celery_app", broker=settings.amqp_url, backend="rpc://")
    app.conf.update(
        broker_connection_retry_on_startup=True,
        # A task is accepted once the broker has it.
        broker_transport_options={"confirm_publish": True},
        # As many as there are threads that publish.
        broker_pool_limit=64,
        task_default_queue=_QUEUE,
        task_default_exchange=_QUEUE,
        task_default_routing_key=_QUEUE,
        task_default_queue_type="quorum",
        task_acks_late=True,
        # Short tasks: "64 or 128", says the guide to optimising.
        worker_prefetch_multiplier=64,
        worker_enable_remote_control=False,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
    )
    return app


app = make_app(Settings.from_environment())
