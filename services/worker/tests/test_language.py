import pytest

from recmesh_worker.engine.language import written_in


@pytest.mark.parametrize(
    ("text", "languages", "known"),
    [
        ("a heist inside a dream", ["en"], True),
        ("ограбление во сне", ["en"], False),
        ("ограбление во сне", ["en", "ru"], True),
        ("film про любовь и войну", ["en"], False),
        ("夢の中の強盗", ["en"], False),
        ("夢の中の強盗", ["ja"], True),
        ("Amélie à Paris", ["en"], True),
        ("12345 !?", ["en"], False),
        ("", ["en"], False),
    ],
)
def test_the_letters_tell(text: str, languages: list[str], known: bool) -> None:
    assert written_in(text, languages) is known
