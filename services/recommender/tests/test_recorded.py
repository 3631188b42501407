"""What version 1 wrote, read by the recommender of today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from recmesh.events.v1.job_events_pb2 import Answer
from recmesh_jobs.messages import Finished
from recmesh_jobs.states import State
from recmesh_kit.broker import Delivery
from recmesh_recommender.replies import Replies
from recmesh_recommender.waiting import WaitingRoom
from services.recommender.tests.conftest import Replica
from tests.recorded import VERSION_1, recorded

OLD = recorded(VERSION_1)
REPLY = OLD["message jobs finished"]


@dataclass
class Told:
    """What counts of a delivery."""

    body: bytes
    acknowledged: bool = False

    async def ack(self) -> None:
        self.acknowledged = True


@dataclass
class Room:
    """Those who wait."""

    heard: list[Finished] = field(default_factory=list)

    def tell_finished(self, finished: Finished) -> None:
        self.heard.append(finished)


async def hear(*bodies: bytes) -> list[Finished]:
    """What those who wait are told by replies, all of which are done with then."""
    room, told = Room(), [Told(body) for body in bodies]
    await Replies(cast("WaitingRoom", room)).handle(cast("list[Delivery]", told))
    assert all(one.acknowledged for one in told)
    return room.heard


async def test_a_reply_of_a_worker_of_before() -> None:
    heard = await hear(REPLY)
    states = [State.SUCCEEDED, State.FAILED, State.EXPIRED]
    assert [one.ended.state for one in heard] == states
    assert Answer.FromString(heard[0].answer or b"").resolved_title == "Alien"


async def test_a_reply_of_a_newer_version_is_left_to_the_rows() -> None:
    first, version, *rest = REPLY
    assert (first, version) == (0x08, 1)
    assert await hear(bytes([first, version + 1, *rest]), REPLY) == await hear(REPLY)


async def test_a_walk_through_pages_goes_on(replica: Replica) -> None:
    """A caller holds a token while the version changes. What follows in it are jobs that are gone by now."""
    page = await replica.page(user="ada", page_token=OLD["page recommendations"].decode())
    assert not page.recommendations
