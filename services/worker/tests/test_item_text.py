from recmesh_worker.engine.item_text import item_text


def test_genres_and_year_come_before_the_description() -> None:
    text = item_text(
        title="Heat",
        description="A thief and a cop. ",
        genres=["Crime", "Drama"],
        release_year=1995,
    )
    assert text == "Crime, Drama, 1995. A thief and a cop."


def test_the_title_and_tags_stand_in_for_a_description() -> None:
    assert item_text(title="Heat", description=" ", tags=["heist"]) == "Heat. heist"
    assert item_text(title="Heat", description="") == "Heat"
