"""The worker's side: `python -m bench.peers.apps.faststream_app.worker`."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson
import uvloop
from faststream import FastStream

from bench.peers.apps.faststream_app.messages import JOBS, make_broker
from bench.peers.apps.ranking import Ranking
from bench.peers.apps.settings import Settings

_CONNECTIONS = 8
_FINISH = "UPDATE recommendations SET state = 'succeeded', results = $2::text::jsonb WHERE id = $1"


async def main() -> None:
    """Works until it is told to stop."""
    settings = Settings.from_environment()
    ranking = Ranking(settings.data)
    pool = await asyncpg.create_pool(
        settings.database_url, min_size=_CONNECTIONS, max_size=_CONNECTIONS
    )
    broker = make_broker(settings)

    @broker.subscriber(JOBS)
    async def recommend(job: dict[str, Any]) -> dict[str, Any]:
        results = ranking.top(job["item"], job["limit"])
        await pool.execute(_FINISH, job["id"], orjson.dumps(results).decode())
        return {"id": job["id"], "results": results}

    await FastStream(broker, logger=None).run()
    await pool.close()


if __name__ == "__main__":
    uvloop.run(main())
