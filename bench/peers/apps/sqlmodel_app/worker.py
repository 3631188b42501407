"""The worker's side: `python -m bench.peers.apps.sqlmodel_app.worker`."""

from __future__ import annotations

from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties
from sqlmodel import Session

from bench.peers.apps.ranking import Ranking
from bench.peers.apps.settings import Settings
from bench.peers.apps.sqlmodel_app.models import QUEUE, Job, make_engine
from bench.peers.apps.sqlmodel_app.queue import open_channel


def main() -> None:
    """Works until it is ended."""
    settings = Settings.from_environment()
    ranking = Ranking(settings.data)
    engine = make_engine(settings, connections=1)

    def recommend(
        channel: BlockingChannel, method: Basic.Deliver, _: BasicProperties, body: bytes
    ) -> None:
        with Session(engine) as session:
            job = session.get_one(Job, body.decode())
            job.results = [dict(ranked) for ranked in ranking.top(job.item, job.limit)]
            job.state = "succeeded"
            session.add(job)
            session.commit()
        channel.basic_ack(method.delivery_tag or 0)

    channel = open_channel(settings)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(QUEUE, recommend)
    channel.start_consuming()


if __name__ == "__main__":
    main()
