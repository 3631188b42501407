from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recmesh_cli.formats import titles


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Toy Story (1995)", ("Toy Story", (), 1995)),
        ("Matrix, The (1999)", ("The Matrix", (), 1999)),
        ("Hate (Haine, La) (1995)", ("Hate", ("La Haine",), 1995)),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            ("The City of Lost Children", ("La Cité des enfants perdus",), 1995),
        ),
        ("Avventura, L' (Adventure, The) (1960)", ("L'Avventura", ("The Adventure",), 1960)),
        ("Seven (a.k.a. Se7en) (1995)", ("Seven", ("Se7en",), 1995)),
        ("Ran (Chaos) (Rebellion) (1985)", ("Ran", ("Chaos", "Rebellion"), 1985)),
        ("(500) Days of Summer (2009)", ("(500) Days of Summer", (), 2009)),
        ("Death Note (2006\u20132007)", ("Death Note", (), 2006)),
        ("Lost (2004-)", ("Lost", (), 2004)),
        ("Babylon 5", ("Babylon 5", (), None)),
        ("  2001: A Space Odyssey (1968) ", ("2001: A Space Odyssey", (), 1968)),
        ("(1984)", ("(1984)", (), None)),
        ("", ("", (), None)),
    ],
)
def test_a_title_is_taken_apart(
    said: str, expected: tuple[str, tuple[str, ...], int | None]
) -> None:
    assert titles.parse(said) == expected


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_any_text_is_a_title(said: str) -> None:
    title, _, _ = titles.parse(said)
    assert bool(title) is bool(said.strip())
