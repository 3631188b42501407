"""Notes what this checkout writes: `python -m tests.recorded.record NAME`, once, before a version changes it.

The file is kept for good and never made anew, for it stands for what lies in queues and tables out there, and that was
written by the code of then. So this does not replace one, and no test runs it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.common.v1 import authorization_pb2 as roles
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.events.v1 import catalog_events_pb2 as catalog_events
from recmesh.events.v1 import job_events_pb2 as job_events
from recmesh.recommender.v1.query_pb2 import HistorySeed, ItemsSeed, Query
from recmesh_auth.sign_ins.keys import PublicJwk
from recmesh_auth.sign_ins.passwords import Passwords
from recmesh_jobs import messages
from recmesh_jobs.job import Ended, Failure, Job
from recmesh_jobs.shown import pack
from recmesh_jobs.states import Lane, State
from recmesh_kit import paging
from recmesh_kit.principal import Principal
from recmesh_kit.tokens import TokenSigner
from recmesh_worker import converters
from recmesh_worker.engine.query import Answer, Fallback, Reason, ReasonKind, Result
from recmesh_worker.engine.titles import Resolution

ID = UUID("01932f3a-7b1c-7def-8123-456789abcdef")
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)
SHOWN = ["alien-1979", "ran", "Чужой", "映画"]
QUERIES = {
    "title": Query(title="Чужой", limit=5),
    "item": Query(item="catalogs/films/items/alien-1979", limit=10, include_seen=True),
    "text": Query(
        text="a heist inside a dream",
        limit=200,
        filter='release_year >= 1980 AND genres:"Crime"',
        strict_filter=True,
        exclude_items=["catalogs/films/items/ran"],
        diversity=Query.DIVERSITY_HIGH,
        serving_config="catalogs/films/servingConfigs/default",
    ),
    "history": Query(history=HistorySeed(), limit=10, diversity=Query.DIVERSITY_LOW),
    "items": Query(
        items=ItemsSeed(items=["catalogs/films/items/ran", "catalogs/films/items/alien-1979"]),
        limit=1,
    ),
}
PASSWORD = "correct horse battery staple"
REFRESH_TOKEN = "kT6yDq3s0vEw5bV9m1aXc7rJ2hN8fLgZ4uPiYoQtBxA"
API_KEY = "rmk_worker_Qm9vTXJ1bGVzLXRoZS13YXZlcy1hbmQtYmFjaw"
LIFETIME_SECONDS = 50 * 365 * 24 * 3600


def job(query: Query, shown: list[str]) -> Job:
    return Job(
        id=ID,
        catalog="films",
        user="ada",
        session="visit",
        lane=Lane.INTERACTIVE,
        query=query.SerializeToString(deterministic=True),
        deadline=AT + dt.timedelta(minutes=5),
        create_time=AT,
        expire_time=AT + dt.timedelta(days=7),
        state=State.SUCCEEDED,
        shown=pack(shown),
    )


def answer() -> bytes:
    similar = Reason(
        ReasonKind.SIMILAR, "alien-1979", "Alien", ("Horror",), ("Ridley Scott",), ("Ian Holm",)
    )
    results = (
        Result("blade-runner", "Blade Runner", 0.75, (similar, Reason(ReasonKind.MATCHES_TEXT))),
        Result("ran", "乱", 0.5, (Reason(ReasonKind.POPULAR),)),
    )
    said = Answer(
        results,
        Resolution("alien-1979", "Alien", 0.9),
        0.9,
        Fallback.TEXT,
        "content",
        filter_relaxed=True,
    )
    message = converters.answer_message(
        said,
        "films",
        queued=dt.timedelta(milliseconds=12),
        ranked=dt.timedelta(microseconds=3400),
    )
    return message.SerializeToString(deterministic=True)


def of_jobs() -> dict[str, bytes]:
    ended = Ended(ID, State.SUCCEEDED, 1, AT, AT + dt.timedelta(seconds=1))
    finished = [
        messages.Finished(ended, answer=answer()),
        messages.Finished(
            Ended(ID, State.FAILED, 5, None, AT),
            failure=Failure(reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED, "Broken."),
        ),
        messages.Finished(
            Ended(ID, State.EXPIRED, 0, None, AT),
            failure=Failure(reasons.ERROR_REASON_JOB_EXPIRED, "Late."),
        ),
    ]
    return {
        **{
            f"message job {kind}": messages.encode_job(job(query, []))
            for kind, query in QUERIES.items()
        },
        "message job continued": messages.encode_job(job(QUERIES["title"], SHOWN)),
        "message jobs finished": messages.encode_finished(finished),
        "message recommendations finished": messages.encode_announcement(job(QUERIES["title"], [])),
        "message index advanced": job_events.IndexAdvanced(
            version=1, catalog="films", sequence=2**40, searchable_item_count=9_999
        ).SerializeToString(),
        **{
            f"row query {kind}": query.SerializeToString(deterministic=True)
            for kind, query in QUERIES.items()
        },
        "row answer": answer(),
        "row shown": pack(SHOWN),
        "row vector": np.asarray([0.5, -0.5, 0.5, -0.5], np.dtype("<f4")).tobytes(),
    }


def of_catalog() -> dict[str, bytes]:
    interaction = Interaction(
        name=f"catalogs/films/interactions/{ID}",
        user="ada",
        item="catalogs/films/items/alien-1979",
        type=Interaction.TYPE_RATING,
        value=4.5,
        session="visit",
        attribution_token=str(ID),
    )
    interaction.event_time.FromDatetime(AT)
    interaction.create_time.FromDatetime(AT + dt.timedelta(seconds=1))
    view = Interaction(
        name=f"catalogs/films/interactions/{ID}",
        user="bob",
        item="catalogs/films/items/ran",
        type=Interaction.TYPE_VIEW,
    )
    view.event_time.FromDatetime(AT)
    view.create_time.FromDatetime(AT)
    items = [
        catalog_events.ItemChange(item="alien-1979", revision=7),
        catalog_events.ItemChange(item="映画", revision=2**40, deleted=True),
    ]
    return {
        "message items changed": catalog_events.ItemsChanged(
            version=1, catalog="films", changes=items
        ).SerializeToString(),
        "message catalog changed": catalog_events.CatalogChanged(
            version=1, catalog="films"
        ).SerializeToString(),
        "message catalog deleted": catalog_events.CatalogChanged(
            version=1, catalog="films", deleted=True
        ).SerializeToString(),
        "message interactions written": catalog_events.InteractionsWritten(
            version=1, catalog="films", interactions=[interaction, view]
        ).SerializeToString(),
    }


def of_pages() -> dict[str, str]:
    parent, key = "catalogs/recorded", [str(int(AT.timestamp()) * 1_000_000), str(ID)]
    return {
        "page recommendations": paging.encode([str(ID)], "ListRecommendations", "films", "ada", ""),
        "page items": paging.encode(["ran"], "ListItems", parent, ""),
        "page interactions": paging.encode(key, "ListInteractions", parent, "ada", ""),
    }


async def of_sign_ins() -> dict[str, str]:
    key = Ed25519PrivateKey.generate()
    kid = PublicJwk.of(key.public_key()).kid
    ada = Principal("ada", frozenset({roles.ROLE_USER}), {"films": frozenset({roles.ROLE_EDITOR})})
    async with Passwords() as passwords:
        hashed = await passwords.hash(PASSWORD)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "row password hash": hashed,
        "row refresh token hash": hashlib.sha256(REFRESH_TOKEN.encode()).hexdigest(),
        "setting api key hash": hashlib.sha256(API_KEY.encode()).hexdigest(),
        "file signing key": pem.decode(),
        "token access": TokenSigner(key, kid).sign(ada, LIFETIME_SECONDS),
        "text password": PASSWORD,
        "text refresh token": REFRESH_TOKEN,
        "text api key": API_KEY,
    }


def main(name: str) -> None:
    texts = of_pages() | asyncio.run(of_sign_ins())
    noted = of_jobs() | of_catalog() | {key: text.encode() for key, text in texts.items()}
    content = json.dumps({key: value.hex() for key, value in noted.items()}, indent=1)
    with Path(__file__).with_name(f"{name}.json").open("x") as file:
        file.write(content + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
