from prometheus_client import CollectorRegistry

from recmesh_catalog.outbox.age import Age
from recmesh_kit.telemetry.instruments import Instruments
from services.catalog.tests.conftest import Mesh


async def test_the_age_of_the_oldest_event(mesh: Mesh) -> None:
    registry = CollectorRegistry()
    age = Age(mesh.database, Instruments(registry))

    async def seconds() -> float | None:
        await age.look()
        return registry.get_sample_value("recmesh_outbox_oldest_seconds")

    await mesh.sql("DELETE FROM outbox")
    assert await seconds() == 0
    for old in (90, 30):
        await mesh.sql(
            "INSERT INTO outbox (routing_key, body, create_time)"
            " VALUES ('item.x', '', now() - make_interval(secs => :old))",
            old=old,
        )
    oldest = await seconds()
    assert oldest is not None
    assert oldest >= 90
    await mesh.sql("DELETE FROM outbox")
