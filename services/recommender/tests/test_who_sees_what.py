import pytest

from recmesh_kit import testing
from recmesh_kit.database import Database
from recmesh_kit.testing import bearer
from services.recommender.tests.conftest import (
    ALIEN,
    ANN,
    BOB,
    EDITOR,
    SECRET,
    Metadata,
    Replica,
    failure,
    sql,
)

NOT_FOUND = "NOT_FOUND RESOURCE_NOT_FOUND"
ABOVE = [
    pytest.param(EDITOR, id="editor"),
    pytest.param(bearer("bot", testing.SERVICE), id="service"),
    pytest.param(bearer("root", testing.ADMIN), id="admin"),
    pytest.param(bearer("ed", catalogs={"films": testing.EDITOR}), id="editor of the catalog"),
]


async def test_a_job_is_its_owners(replica: Replica) -> None:
    job = await replica.create()
    assert await replica.get(job.name, ANN) == job
    for call in (
        replica.get(job.name, BOB),
        replica.states(job.name, BOB),
        replica.cancel(job.name, BOB),
    ):
        assert await failure(call) == NOT_FOUND
    assert not (await replica.page(BOB)).recommendations
    assert not (await replica.page(BOB, user="ann")).recommendations


@pytest.mark.parametrize("above", ABOVE)
async def test_those_above_see_everybodys_and_act_for_anybody(
    replica: Replica, above: Metadata
) -> None:
    job = await replica.create(user="ann", metadata=above)
    assert job.user == "ann"
    assert await replica.get(job.name, ANN) == await replica.get(job.name, above) == job
    for page in (await replica.page(above), await replica.page(above, user="ann")):
        assert list(page.recommendations) == [job]
    assert not (await replica.page(above, user="bob")).recommendations
    assert (await replica.cancel(job.name, above)).name == job.name


async def test_a_person_acts_for_itself_only(replica: Replica, database: Database) -> None:
    denied = await failure(replica.create(user="bob"))
    assert denied == "PERMISSION_DENIED ACTING_FOR_ANOTHER"
    assert not await sql(database, "SELECT id FROM recommender.jobs")
    assert (await replica.create(user="ann")).user == "ann"


async def test_a_role_for_another_catalog_is_none_here(replica: Replica) -> None:
    job = await replica.create()
    elsewhere = bearer("ed", catalogs={"books": testing.EDITOR})
    assert await failure(replica.get(job.name, elsewhere)) == NOT_FOUND
    denied = await failure(replica.create(user="bob", metadata=elsewhere))
    assert denied == "PERMISSION_DENIED ACTING_FOR_ANOTHER"


async def test_a_private_catalog_is_not_there_for_strangers(replica: Replica) -> None:
    theirs = await replica.create(parent=SECRET, user="ann", metadata=EDITOR)
    for parent in (SECRET, "catalogs/none"):
        name = theirs.name.replace(SECRET, parent)
        for call in (
            replica.create(parent=parent),
            replica.recommend(parent=parent),
            replica.page(ANN, parent=parent),
            replica.get(name),
            replica.states(name),
            replica.cancel(name),
        ):
            assert await failure(call) == NOT_FOUND
    member = bearer("ann", catalogs={"secret": testing.USER})
    assert await replica.get(theirs.name, member) == theirs
    assert (await replica.create(ALIEN, parent=SECRET, metadata=member)).user == "ann"


async def test_a_jobs_name_holds_in_its_own_catalog_only(replica: Replica) -> None:
    job = await replica.create()
    moved = job.name.replace("films", "secret")
    assert await failure(replica.get(moved, EDITOR)) == NOT_FOUND
    assert await failure(replica.cancel(moved, EDITOR)) == NOT_FOUND
