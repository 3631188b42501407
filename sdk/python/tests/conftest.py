from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sdk.python.tests.fake import Fake, running

from recmesh_client import AsyncClient, Retry, Token


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with running() as started:
        yield started


@pytest.fixture
async def client(fake: Fake) -> AsyncIterator[AsyncClient]:
    """A client of the fake that holds a token and repeats fast."""
    async with AsyncClient.connect(
        fake.target,
        credentials=Token("t"),
        retry=Retry(base=0.001),
        timeout=120,
        stream_timeout=120,
    ) as connected:
        yield connected
